"""`torchml uncertainty`: members for a trained potential, from the posterior of its last layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from torchml.data.dataset import GraphDataset
from torchml.data.graph import GraphBuilder
from torchml.data.module import DataModule, Part
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.importers.opening import cast
from torchml.models.posterior import Posterior
from torchml.models.scaled import Scaled
from torchml.training.loop.task import S2EF
from torchml.training.members import MEMBERS, taken
from torchml.training.parse_errors import one_sentence
from torchml.training.posterior import Equations, Fit, equations, fit, with_members
from torchml.training.run_folder import CHECKPOINTS
from torchml.training.settings import from_words

_MEMBERS = 8
_FILE = "members.ckpt"
_USAGE = """\
usage: torchml uncertainty --config RUN/config.yaml [--members 8] [--ckpt_path FILE] [--KEY VALUE]

Draw members of a trained potential, which differ in its last, linear layer alone, from the
posterior that the training data give, calibrated on the validation data (docs/uncertainty.md).
They are written, with the potential, to RUN/checkpoints/members.ckpt, which is exported as any
other checkpoint.

  --config     configuration of the training, which its folder holds
  --members    how many are drawn (default: 8)
  --ckpt_path  checkpoint (default: best, of the folder), or last
  --KEY        any key of the configuration, such as --data.val
"""


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line whose errors the caller reports."""
    if {"-h", "--help"} & set(arguments):
        print(_USAGE, end="")
        return 0
    path, found = uncertainty(arguments)
    console = Console(soft_wrap=True, highlight=False)
    for line in _report(found):
        console.print(line, markup=False)
    console.print(f"export it: python -m torchml_export {path} --install user", markup=False)
    return 0


def uncertainty(arguments: Sequence[str]) -> tuple[Path, Fit]:
    """Draw members of a trained potential, and write them beside its checkpoints.

    Args:
        arguments: the command, which is uncertainty, then its words.

    Returns:
        The checkpoint with the members, and the posterior.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    text, words = taken(arguments[1:], MEMBERS)
    if text and (not text.isdigit() or int(text) < 2):
        raise TorchMLError(f"{MEMBERS} is '{text}', expected at least 2")
    settings = from_words(["validate", *words])
    source = settings.options.ckpt_path
    model = _potential(source)
    exact = copy.deepcopy(model)
    cast(exact, "float64")
    with one_sentence():
        train, val = _graphs(exact, settings.instantiate(only="data").data)
        found = fit(equations(exact, train), equations(exact, val))
    path = settings.folder / CHECKPOINTS / _FILE
    members = with_members(model, found.covariance, int(text or _MEMBERS))
    checkpoint.save_model(members, path, S2EF.kind)
    return path, found


def _potential(path: str) -> Scaled:
    """The trained potential of a checkpoint, whose network has a last, linear layer."""
    model = checkpoint.load_model(path)
    if not isinstance(model, Scaled) or checkpoint.kind_of(path) != S2EF.kind:
        raise TorchMLError(f"{path} is not of a training of energies and forces, expected one")
    Posterior(model.network)  # raises an error where there is no last, linear layer
    return model


def _graphs(model: Scaled, data: DataModule) -> list[GraphDataset]:
    """Those that trained and validated the potential, in float64."""
    builder = GraphBuilder(model.species, model.cutoff, model.layers, kind=data.graphs)
    parts: tuple[Part, Part] = ("train", "val")
    data.prepare(builder, parts)
    return [data.dataset(part) for part in parts]


def _report(found: Fit) -> Iterator[str]:
    """What the posterior comes from, and how its deviations compare with the errors."""
    energies, forces = found.train.energies, found.train.forces
    count, directions = (0 if one is None else len(one.errors) for one in (energies, forces))
    yield (
        f"{len(found.covariance)} weights of the last layer, from {count} energies and "
        f"{directions} components of forces; on the validation data, root mean squares:"
    )
    units = {"energies": (1e3, "meV/atom"), "forces": (1.0, "eV/Å")}
    for name, (factor, unit) in units.items():
        one: Equations | None = getattr(found.val, name)
        if one is not None:
            error, deviation = factor * one.error, factor * one.deviation(found.covariance)
            yield f"  {name}: errors {error:.4g}, deviations {deviation:.4g} {unit}"
