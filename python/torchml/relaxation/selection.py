"""The optimiser that options name."""

from __future__ import annotations

from collections.abc import Sequence

from torchml.relaxation.bfgs_linesearch import LineSearchBFGS
from torchml.relaxation.fire import FIRE
from torchml.relaxation.lbfgs import LBFGS
from torchml.relaxation.optimizer import Optimizer
from torchml.relaxation.options import RelaxOptions


def new_optimizer(options: RelaxOptions, sizes: Sequence[int]) -> Optimizer:
    """Return an optimiser at its beginning.

    Args:
        options: of the relaxation.
        sizes: number of rows of each structure that shares the optimiser.
    """
    if options.optimizer == "fire":
        return FIRE(maxstep=options.maxstep)
    if options.optimizer == "bfgs-linesearch":
        return LineSearchBFGS(maxstep=options.maxstep, alpha=options.curvature)
    return LBFGS(
        sizes,
        maxstep=options.maxstep,
        memory=options.memory,
        damping=options.damping,
        alpha=options.curvature,
    )
