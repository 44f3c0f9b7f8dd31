"""Whether a model can evaluate several structures in one call."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from torchml.errors import TorchMLError
from torchml.inference.potential import Potential

_ROUNDING = 1e-5  # of float32, which a model of float64 can use inside; couplings are larger

_known: WeakKeyDictionary[Potential, bool] = WeakKeyDictionary()


def is_separable(potential: Potential) -> bool:
    """Whether energies and forces of atoms depend on nothing but their neighbour lists.

    Then structures can be evaluated as the parts of one. Foreign models can normalise over all
    atoms, let them attend to each other, or return a sum. No metadata contain that; so three atoms
    and two others are evaluated together and apart, once for each potential.
    """
    if potential not in _known:
        _known[potential] = _find_out(potential)
    return _known[potential]


def _find_out(potential: Potential) -> bool:
    if potential.energy_kind == "total":
        return False
    side = 0.55 * potential.spec.cutoff
    triangle = side * np.array([[0, 0, 0], [1, 0.1, 0], [0.2, 1, 0.1]])
    pair = side * np.array([[0, 0, 0], [0.1, 0.3, 0.9]])
    try:
        one, other = _evaluate(potential, triangle), _evaluate(potential, pair)
        both = _evaluate(potential, triangle, pair)
    except TorchMLError:
        return False  # a model of crystals may not bear so few atoms
    for key in ("particle_energies", "forces"):
        expected = np.concatenate([one[key], other[key]])
        scale = np.abs(expected).max()
        if not np.abs(both[key] - expected).max() <= _ROUNDING * max(scale, 1e-6):
            return False
    return True


def _evaluate(potential: Potential, *groups: NDArray[np.float64]) -> dict[str, Any]:
    """Particles of which those of a group are neighbours."""
    group_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    near = group_of[:, None] == group_of[None]
    np.fill_diagonal(near, False)
    n = len(group_of)
    species = np.concatenate([np.arange(len(group)) for group in groups])
    return potential.evaluate_particles(
        species % len(potential.spec.species),
        np.concatenate(groups),
        np.ones(n),
        np.concatenate([[0], near.sum(axis=1).cumsum()]),
        np.nonzero(near)[1],
        image_of=np.arange(n),
        particle_energies=True,
    )
