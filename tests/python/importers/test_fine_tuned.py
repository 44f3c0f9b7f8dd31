"""Networks of other packages as they are trained: what changes keeps their symmetry."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from helpers.nequip_networks import random_nequip
from helpers.networks import cluster, free_energies
from torchml.importers.fine_tuned import Changes, FineTuned, LoRA, isolated, weights_of
from torchml.importers.low_rank import Combination
from torchml.models import Scaled


@pytest.fixture(scope="module")
def old() -> Scaled:
    return random_nequip()


def disturbed(old: Scaled, changes: Changes) -> FineTuned:
    """The model that a training would change, after a change of all it may change."""
    torch.manual_seed(3)
    model = FineTuned(copy.deepcopy(old), changes)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += (
                    0.2 * parameter.abs().max().clamp(min=0.1) * torch.randn_like(parameter)
                )
    return model


@pytest.mark.parametrize("changes", [Changes(), Changes(lora=LoRA(rank=2))], ids=["all", "lora"])
def test_changed_weights_turn_with_the_frame_and_merge(changes, old):
    model = disturbed(old, changes)
    x, codes = torch.tensor(cluster()), torch.arange(20) % 2
    with torch.no_grad():
        expected = free_energies(model, codes, x)
        assert (expected - free_energies(old, codes, x)).abs().max() > 0.1
        q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
        turn = torch.tensor(q * np.linalg.det(q))
        turned = free_energies(model, codes, x @ turn)
        torch.testing.assert_close(turned, expected, rtol=0, atol=1e-10)
        plain = model.merged(copy.deepcopy(old))
        torch.testing.assert_close(free_energies(plain, codes, x), expected, rtol=0, atol=1e-10)
    # A single atom has the energy that it had, in both.
    alone = old.references + old.scale * isolated(old.network)
    far = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]], dtype=torch.float64)
    for one in (model, plain):
        with torch.no_grad():
            found = free_energies(one, torch.tensor([0, 1]), far)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-12)


def test_constants_and_maps_that_the_package_lacks_are_no_weights(old):
    network = copy.deepcopy(old.network)
    names = set(weights_of(network))
    assert {name.split(".")[0] for name in names} == {"embedding", "blocks", "readout"}
    assert not any("coupling" in name or "steps" in name for name in names)
    with torch.no_grad():
        network.blocks[0].keep[0].weights.zero_()
    assert names - set(weights_of(network)) == {"blocks.0.keep.0.weights"}


def test_forces_can_be_trained_on(old):
    """Second derivatives agree with differences of the first ones."""
    model = FineTuned(copy.deepcopy(old), Changes()).train()
    x, codes = torch.tensor(cluster()[:6]), torch.arange(6) % 2
    weight = model.network.get_parameter("blocks.0.up.0.weights")

    def squares() -> torch.Tensor:
        here = x.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(
            free_energies(model, codes, here).sum(), here, create_graph=True
        )
        return slopes.square().sum()

    (found,) = torch.autograd.grad(squares(), weight)
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0] += sign * step
        values.append(squares().item())
        with torch.no_grad():
            weight[0, 0] -= sign * step
    assert found[0, 0].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_combinations_span_the_rows_and_nothing_else():
    couplings = torch.randn(3, 2, 5, dtype=torch.float64)
    tensor = torch.einsum("uk,kab->uab", torch.randn(8, 3, dtype=torch.float64), couplings)
    form = Combination(tensor)
    assert form.rank == 3
    torch.testing.assert_close(form(form.right_inverse(tensor)), tensor)
    other = form(torch.randn(8, 3, dtype=torch.float64)).flatten(1)
    both = torch.cat([other, couplings.flatten(1)])
    assert torch.linalg.matrix_rank(both, rtol=1e-9) == 3


def test_combinations_over_several_axes():
    """Those of a product of MACE: [elements, terms, channels], combined over the terms."""
    couplings = torch.randn(2, 7, dtype=torch.float64)
    tensor = torch.einsum("zuk,kt->ztu", torch.randn(3, 4, 2, dtype=torch.float64), couplings)
    form = Combination(tensor, (0, 2))
    assert form.rank == 2 and form.right_inverse(tensor).shape == (12, 2)
    torch.testing.assert_close(form(form.right_inverse(tensor)), tensor)
    other = form(torch.randn(12, 2, dtype=torch.float64))
    rows = torch.cat([other.transpose(1, 2).flatten(0, 1), couplings])
    assert other.shape == (3, 7, 4) and torch.linalg.matrix_rank(rows, rtol=1e-9) == 2
