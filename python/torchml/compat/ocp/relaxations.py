"""--mode run-relaxations: relaxed positions, trajectories, and their distance to the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from torchml.compat.ocp.translation import Translation
from torchml.data import read
from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.ranks import launched_rank
from torchml.errors import FileError, TorchMLError
from torchml.evaluation.metrics import ENERGY_THRESHOLD
from torchml.evaluation.metrics_positions import POSITION_METRICS, Relaxed, add_relaxed
from torchml.evaluation.metrics_sums import Sums
from torchml.relaxation.evaluators import new_evaluator
from torchml.relaxation.loop import Limits
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.output import Files
from torchml.relaxation.session import Session
from torchml.relaxation.structures import Structures

# Names of OCP for our metrics.
_METRICS = {
    "2021": {"average_distance_within_threshold": "adwt", "energy_mae": "energy_mae"},
    "2024": {
        "is2rs_average_distance_within_threshold": "adwt",
        "is2rs_positions_mae": "positions_mae",
        "is2rs_positions_mse": "positions_mse",
        "is2re_energy_mae": "energy_mae",
        "is2re_energy_mse": "energy_mse",
        "is2re_energy_within_threshold": "ewt",
    },
}


def relax(model: str, device: str, translation: Translation) -> None:
    """Relax the structures, write OCP's files, and print the metrics where labels are known.

    Args:
        model: what `Potential` opens.
        device: cpu, cuda or cuda:K.
        translation: with the structures and the options.

    Raises:
        TorchMLError: an option is missing or wrong, or the structures cannot be read.
    """
    options = RelaxOptions.of_version(translation.version.name, **given_options(translation))
    configurations = _configurations(translation)
    results = translation.folders.results
    files = Files(_frames(translation, options), extxyz="none")
    results.mkdir(parents=True, exist_ok=True)
    _link_trajectories(results, translation)
    structures = Structures(configurations)
    session = Session(
        structures,
        new_evaluator(model, device),
        options,
        Limits(structures=translation.eval_batch_size),
        launched_rank(),
    )
    records = session.into_folder(results, files)
    if len(records) < len(structures):
        return  # the rank that ends last goes on
    _report(records, configurations, structures.ids, translation)


def given_options(translation: Translation) -> dict[str, Any]:
    """Return the options of the relaxation that the configuration has, by our names.

    Raises:
        TorchMLError: there is no relax_opt, or another optimiser is named.
    """
    task = translation.config.task
    opt = task.relax_opt
    if opt is None:
        raise TorchMLError("task.relax_opt is missing, expected at least its key memory")
    if opt.name.lower() != "lbfgs":
        raise TorchMLError(
            f"task.relax_opt.name is '{opt.name}', expected lbfgs; torchml relax has others"
        )
    given = {
        "maxstep": opt.maxstep,
        "damping": opt.damping,
        "alpha": opt.alpha,
        "memory": opt.memory,
        "steps": task.relaxation_steps,
        "fmax": task.relaxation_fmax,
    }
    return {key: value for key, value in given.items() if value is not None}


def _configurations(translation: Translation) -> Sequence[Configuration]:
    part = translation.relax
    assert part is not None
    # The labels of a relaxation are its end: energies and forces of frames are not needed.
    configurations = read(part, Keys(energy=None, forces=None, stress=None))
    batches = translation.config.task.num_relaxation_batches
    if batches is None:
        return configurations
    count = batches * translation.eval_batch_size * launched_rank().size
    return [configurations[k] for k in range(min(count, len(configurations)))]


def _frames(translation: Translation, options: RelaxOptions) -> int:
    """Steps from one frame of a trajectory to the next; 0 without trajectories."""
    task = translation.config.task
    if task.relax_opt is None or task.relax_opt.traj_dir is None:
        return 0
    return 1 if task.save_full_traj else options.steps + 1


def _link_trajectories(results: Path, translation: Translation) -> None:
    """Let trajectories go to traj_dir, which is relative to the working folder, as in OCP."""
    opt = translation.config.task.relax_opt
    if opt is None or opt.traj_dir is None:
        return
    folder, link = Path(opt.traj_dir).absolute(), results / "trajectories"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(folder)
    except FileExistsError:  # made by another rank, or by the run that this one continues
        if link.resolve() != folder.resolve():
            raise FileError(
                f"{link} has the trajectories of a run with another traj_dir than {folder}, "
                "expected the same, or another --timestamp-id"
            ) from None


def _report(
    records: Sequence[Mapping[str, Any]],
    configurations: Sequence[Configuration],
    ids: Sequence[str],
    translation: Translation,
) -> None:
    """Say what was written and, where all structures have labels, how far they are."""
    results = translation.folders.results
    failed = sum(record["state"] == "failed" for record in records)
    print(f"{results}: {len(records)} structures relaxed" + f", {failed} failed" * bool(failed))
    if translation.config.task.write_pos:
        print(f"{results / 'relaxed_positions.npz'}: positions")
    else:
        for path in (results / "relaxed_positions.npz", *results.glob("relaxed_pos_*.json")):
            path.unlink(missing_ok=True)
    sums = Sums(POSITION_METRICS)
    place = {id: k for k, id in enumerate(ids)}
    for record in records:
        if record["state"] != "failed":
            _add(sums, configurations[place[record["id"]]], record)
    values = sums.values()
    names = _METRICS[translation.version.name]
    known = [f"{name}: {values[ours]:.4f}" for name, ours in names.items() if ours in values]
    if known:
        print(", ".join(known))


def _add(sums: Sums, c: Configuration, record: Mapping[str, Any]) -> None:
    """Add the errors of one structure with labels."""
    free = np.ones(len(c), dtype=bool) if c.fixed is None else ~c.fixed
    energy = float(record["energies"][-1])
    add_relaxed(sums, c, Relaxed(np.array(record["positions"]), energy), free)
    if c.relaxed_energy is not None:
        error = energy - c.relaxed_energy
        sums.add("energy_mae", [abs(error)])
        sums.add("energy_mse", [error])
        sums.add("ewt", [abs(error) < ENERGY_THRESHOLD])
