"""Translate OCP's configuration into that of `torchml fit`.

Every key has the meaning that OCP's code gives it; a key without equivalent is an error that names
it, and what differs without changing the question is a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml.compat.ocp import configuration, networks, sections, versions
from torchml.compat.ocp.data import data
from torchml.compat.ocp.flags import Flags
from torchml.compat.ocp.folders import Folders
from torchml.compat.ocp.given import Given
from torchml.compat.ocp.losses import ENERGY, FORCES, terms
from torchml.compat.ocp.optimization import averaging, checkpoints, optimizer
from torchml.compat.ocp.sections import Config, Part
from torchml.compat.ocp.trainer import trainer
from torchml.compat.ocp.versions import Version
from torchml.errors import TorchMLError

_TRAINERS = {"energy": "is2re", "forces": "s2ef", "ocp": None}
_DATASETS = {"single_point_lmdb": "is2re"}  # all others: s2ef
_FORMATS = (
    *("lmdb", "single_point_lmdb", "trajectory_lmdb", "trajectory_lmdb_v2", "oc22_lmdb"),
    *("ase_db", "ase_read", "ase_read_multi"),
)


@dataclass
class Translation:
    """What a configuration of OCP means here.

    Attributes:
        version: the version of OCP that is followed.
        kind: is2re or s2ef.
        configuration: argument of `torchml.training.fit`.
        notes: sentences on what differs from OCP.
        config: the typed sections of OCP.
        folders: where the files go.
    """

    version: Version
    kind: str
    configuration: dict[str, Any]
    notes: list[str]
    config: Config
    folders: Folders

    @property
    def val(self) -> str | list[str] | None:
        """The validation data."""
        return None if self.config.dataset.val is None else self.config.dataset.val.src

    @property
    def test(self) -> str | list[str] | None:
        """The structures to predict."""
        return None if self.config.dataset.test is None else self.config.dataset.test.src

    @property
    def relax(self) -> str | list[str] | None:
        """The structures to relax."""
        part = self.config.task.relax_dataset or self.config.dataset.relax
        return None if part is None else part.src

    @property
    def results_name(self) -> str:
        """The first word in the name of the file of predictions."""
        is_ocp = self.version.name == "2024" and self.config.trainer == "ocp"
        return "ocp" if is_ocp else self.kind

    @property
    def prediction_dtype(self) -> str | None:
        """The type of predictions, where it is not the usual one of the version."""
        task = self.config.task
        asked = [output.prediction_dtype for output in self.config.outputs.values()]
        wide = "float32" in (task.prediction_dtype, *asked) or task.dataset == "oc22_lmdb"
        return "float32" if wide else None

    @property
    def eval_batch_size(self) -> int:
        """Structures in a batch of predictions and relaxations."""
        return self.config.optim.eval_batch_size or self.config.optim.batch_size


def translate(
    content: Mapping[str, Any] | str | Path,
    version: str | None = None,
    flags: Flags | None = None,
    folders: Folders | None = None,
) -> Translation:
    """Translate a configuration of OCP.

    Args:
        content: a YAML file, or its content without includes.
        version: 2021 or 2024; by default the one whose keys the configuration has.
        flags: the command line.
        folders: where the files go.

    Raises:
        TorchMLError: a file is missing, a key is unknown or has no equivalent.
    """
    flags = flags or Flags()
    if isinstance(content, Mapping):
        chosen, reason = versions.choose(version, [content])
        notes = [f"version of OCP: {chosen.name} ({reason})"]
        whole = configuration.complete(content)
    else:
        named = {"config_yml": str(content), "version_of_ocp": version or flags.version_of_ocp}
        whole, chosen, notes = configuration.load(Flags(**{**vars(flags), **named}))
    if "model" in whole:
        networks.check_name(whole["model"])
    config = sections.parse(whole)
    _check_refused(config)
    kind = _kind(config)
    folders = folders or Folders(Path(), "run")
    given = Given(config, chosen, kind, flags, folders, True, notes)
    return Translation(chosen, kind, _translated(given), given.notes, config, folders)


def _translated(given: Given) -> dict[str, Any]:
    network = networks.translate(given.config.model)
    given.regress_forces = network.regress_forces
    given.notes += network.notes
    task = "S2EF" if given.kind == "s2ef" else "IS2RE"
    return {
        "seed_everything": given.flags.seed,
        "model": {
            "class_path": f"torchml.training.{task}",
            "init_args": {"model": network.arguments, **terms(given), **optimizer(given)},
        },
        "data": data(given),
        "trainer": trainer(given),
        "checkpoint": checkpoints(given),
        "ema": averaging(given),
        "early_stopping": None,
    }


def _kind(config: Config) -> str:
    """Whether energies of relaxed structures (is2re) or energies and forces (s2ef) are learned."""
    if config.trainer not in _TRAINERS:
        raise TorchMLError(f"trainer is '{config.trainer}', expected {', '.join(_TRAINERS)}")
    if (kind := _TRAINERS[config.trainer]) is not None:
        return kind
    if config.loss_functions:
        names = {name for entry in config.loss_functions for name in entry}
        mapped = config.dataset.train.key_mapping.get("y_relaxed")
        return "is2re" if FORCES not in names and mapped == ENERGY else "s2ef"
    return _DATASETS.get(config.task.dataset or config.dataset.train.format or "", "s2ef")


def _check_refused(config: Config) -> None:
    """Raise an error for values without equivalent."""
    task = config.task
    if task.tag_specific_weights:
        raise TorchMLError(
            "task.tag_specific_weights cannot be honoured: atoms have equal weights; data.weights "
            "weighs configurations"
        )
    optim = config.optim
    for key, least in (("max_epochs", 1), ("eval_batch_size", 1), ("lr_initial", 0)):
        value = getattr(optim, key)
        if value is not None and value < least:
            raise TorchMLError(f"optim.{key} is {value:g}, expected {least} or more")
    if task.label_index not in (None, False):
        raise TorchMLError("task.label_index is for QM9, expected data of OCP")
    for name, output in config.outputs.items():
        if name not in (ENERGY, FORCES) or output.decomposition:
            raise TorchMLError(f"outputs.{name} cannot be honoured, expected energy and forces")
    for name, part in vars(config.dataset).items():
        if part is not None:
            _check_part(part, f"dataset.{name}")
    if task.relax_dataset is not None:
        _check_part(task.relax_dataset, "task.relax_dataset")
    known = task.dataset
    if known is not None and known not in _FORMATS:
        raise TorchMLError(f"task.dataset is '{known}', expected one of {', '.join(_FORMATS)}")


def _check_part(part: Part, place: str) -> None:
    for key in ("train_on_oc20_total_energies", "oc20_ref", "lin_ref"):
        if getattr(part, key) not in (None, False, "None"):
            raise TorchMLError(
                f"{place}.{key} cannot be honoured, expected data with the energies to learn"
            )
    if part.select_args:
        raise TorchMLError(f"{place}.select_args cannot be honoured, expected a file of the rows")
    if part.total_shards not in (None, 1):
        raise TorchMLError(
            f"{place}.total_shards cannot be honoured, expected files of one part (torchml data "
            "split writes them)"
        )
    if part.format is not None and part.format not in _FORMATS:
        raise TorchMLError(
            f"{place}.format is '{part.format}', expected one of {', '.join(_FORMATS)}"
        )
