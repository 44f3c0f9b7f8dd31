"""`torchml.relax`: relaxations from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from torchml.data.configuration import Configuration
from torchml.data.ranks import launched_rank
from torchml.relaxation.evaluators import Model, new_evaluator
from torchml.relaxation.loop import Limits
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.output import Files
from torchml.relaxation.results import Relaxed
from torchml.relaxation.session import Session
from torchml.relaxation.structures import Structures


def relax(
    structures: Sequence[Atoms] | Sequence[Configuration],
    model: Model,
    options: RelaxOptions | None = None,
    *,
    ids: Sequence[str] | None = None,
    device: str = "cpu",
    limits: Limits | None = None,
    output: str | Path | None = None,
    files: Files | None = None,
    **settings: Any,
) -> list[Relaxed]:
    """Relax many structures at once, as `torchml relax` does.

    The structures themselves do not change. Atoms that FixAtoms fixes do not move, and their forces
    do not count. If a launcher started several ranks, each relaxes its part.

    Args:
        structures: of any number and size.
        model: what `Potential` opens, a `Potential`, or a calculator of ASE, which evaluates them
            one by one.
        options: of the relaxation.
        ids: texts, one for each structure; by default their `sid`, else their place.
        device: "cpu", "cuda" or "cuda:K", for a model that is opened here.
        limits: of a batch.
        output: folder for results; those that it contains are kept, and not computed again.
        files: what is written there; without a folder, `trajectories` keeps frames in the results.
        settings: single options instead of `options`, such as `fmax=0.05` (eV/Å), `steps=500`,
            `optimizer="fire"`.

    Returns:
        The results of this rank, in the order of the structures. A structure that fails does not
        stop the others: its state is "failed".

    Raises:
        DataError: there are no structures, a structure does not fit the model, an option or an id
            is wrong, the optimiser does not have an option, or the folder has results of another
            relaxation.
        TypeError: a setting is unknown, or given beside `options`.
    """
    if options is not None and settings:
        raise TypeError(
            f"'{next(iter(settings))}' is given beside options, expected it among these"
        )
    options = options or RelaxOptions.of_version("2024", **settings)
    files, limits = files or Files(), limits or Limits()
    session = Session(
        Structures(structures, ids),
        new_evaluator(model, device, limits.edges),
        options,
        limits,
        launched_rank(),
    )
    if output is None:
        return session.in_memory(files.trajectories)
    return session.results(session.into_folder(Path(output), files))
