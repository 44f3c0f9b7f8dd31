"""The file of --checkpoint: a checkpoint of this package, or another model to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchml.compat.ocp.translation import Translation
from torchml.errors import FileError, ModelError
from torchml.importers.checkpoint import KEY, read_checkpoint
from torchml.importers.pickles import texts_of

# Names in a checkpoint of OCP; in one of this package is KEY too.
_OF_OCP = {"state_dict", "normalizers", "config"}


def model_of(checkpoint: str | None, translation: Translation, mode: str) -> str:
    """Return the model that predictions and relaxations are computed with.

    Args:
        checkpoint: a file, or anything else that `Potential` opens.
        translation: a checkpoint must have the network of its configuration.
        mode: that errors name.

    Raises:
        FileError: there is no such file, or it is OCP's.
        ModelError: the checkpoint has another network.
    """
    path = _file(checkpoint, mode)
    if not path.is_file() and not (path.suffix or path.parent != Path()):
        return str(path)  # an installed model of KIM
    if not path.is_dir() and (entry := _entry(path)) is not None:
        _compare(entry, translation, path)
    return str(path.resolve())


def use_network(checkpoint: str | None, translation: Translation, mode: str) -> str:
    """Put the species of a checkpoint into the configuration, and return the path.

    Raises:
        FileError: there is no such file, or it is no checkpoint of this package.
        ModelError: the checkpoint has another network than the configuration.
    """
    path = _file(checkpoint, mode)
    entry = _entry(path) or read_checkpoint(path)[KEY]
    arguments = _compare(entry, translation, path)
    network = translation.configuration["model"]["init_args"]["model"]
    network["init_args"]["species"] = list(arguments["species"])
    return str(path.resolve())


def _file(checkpoint: str | None, mode: str) -> Path:
    if checkpoint is None:
        raise FileError(f"--mode {mode} needs --checkpoint FILE, expected a trained model")
    return Path(checkpoint)


def _entry(path: Path) -> dict[str, Any] | None:
    """What a checkpoint says of its model; None for other models."""
    if not path.is_file():
        raise FileError(f"{path}: no such file, expected a checkpoint")
    texts = texts_of(path)
    if KEY in texts and "state_dict" in texts:
        entry: dict[str, Any] = read_checkpoint(path)[KEY]
        return entry
    if texts >= _OF_OCP:
        raise FileError(
            f"{path} is a checkpoint of OCP, whose weights fit no network of TorchML; expected a "
            "checkpoint of TorchML, which --mode train writes from the same configuration"
        )
    return None


def _compare(entry: Mapping[str, Any], translation: Translation, path: Path) -> Mapping[str, Any]:
    """Return the arguments of the network in a checkpoint, if the configuration has the same."""
    wanted = translation.configuration["model"]["init_args"]["model"]
    there = entry.get("model") or {}
    if there.get("class_path") != wanted["class_path"]:
        raise ModelError(
            f"{path} has a network {there.get('class_path')}, but the configuration says "
            f"{wanted['class_path']}"
        )
    arguments: Mapping[str, Any] = there["arguments"]
    for name, value in wanted["init_args"].items():
        if name != "species" and arguments.get(name) != value:
            raise ModelError(
                f"{path} has a network with {name} {arguments.get(name)!r}, but the configuration "
                f"says {value!r}"
            )
    return arguments
