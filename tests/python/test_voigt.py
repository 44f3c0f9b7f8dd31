"""Symmetric tensors as six numbers."""

from __future__ import annotations

import numpy as np
import torch
from ase.stress import full_3x3_to_voigt_6_stress

from torchml.voigt import to_voigt


def test_the_order_is_that_of_ase_for_arrays_and_tensors() -> None:
    tensors = np.random.default_rng(0).normal(size=(4, 3, 3))
    expected = full_3x3_to_voigt_6_stress(tensors)
    np.testing.assert_allclose(to_voigt(tensors), expected, rtol=1e-15)
    assert torch.equal(to_voigt(torch.from_numpy(tensors)), torch.from_numpy(to_voigt(tensors)))
