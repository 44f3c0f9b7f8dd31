"""Data with forces alone train without reference energies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.labelled import configurations
from torchml import TorchMLError
from torchml.models import SchNet
from torchml.training import S2EF, Normalization


def task(**options) -> S2EF:
    network = SchNet(species=["H", "C", "O", "Cu", "Pt", "Au"], cutoff=4.0, layers=1, features=4)
    return S2EF(network, **options)


@pytest.mark.parametrize("references", ["least_squares", "none"])
def test_references_are_none_where_no_energy_is_learned_or_there(references):
    some = [replace(c, energy=None) for c in configurations()]
    learner = task(energy_coefficient=0.0, normalization=Normalization(references=references))
    learner.normalize(some)
    assert not learner.model.references.any() and learner.model.scale > 0


def test_energies_that_are_there_are_still_used():
    learner = task(energy_coefficient=0.0)
    learner.normalize(configurations())
    assert learner.model.references.any()


def test_energies_that_are_learned_and_missing_are_an_error_with_the_cure():
    some = [replace(c, energy=None) for c in configurations()]
    with pytest.raises(TorchMLError, match=r"model\.normalization\.references: none"):
        task(missing="mask").normalize(some)
