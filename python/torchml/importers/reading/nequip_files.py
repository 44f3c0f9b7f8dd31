"""Checkpoints and packages of nequip, as nequip itself loads them.

A checkpoint is read twice: first its plain values, to refuse what nequip would load without a word
although it is not the trained model, then by nequip, which builds the model and takes the averaged
weights. A package is an archive of torch.package with its own copy of nequip's code.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from .source import ReadingError, first_line

# Functions that read a model from another file, and the argument that names it.
_REOPENED = {"ModelFromPackage": "package_path", "ModelFromCheckpoint": "checkpoint_path"}


def load(path: Path) -> tuple[Mapping[str, Any], dict[str, str], list[str]]:
    """The models in a file by name, where they come from, and notes.

    Raises:
        ReadingError: the file is no checkpoint or package, or does not hold the whole model.
        ImportError: the model needs a Python package that is not there.
    """
    if not path.is_file():
        raise ReadingError(f"{path}: no such file, expected a checkpoint or a package of nequip")
    if path.name.endswith((".nequip.pt2", ".nequip.pth")):
        raise ReadingError(
            f"{path} is compiled, and its network cannot be read any more, expected the "
            "checkpoint (.ckpt) or package (.nequip.zip) that it was compiled from"
        )
    package = path.name.endswith(".nequip.zip")
    provenance, notes = (_facts_of_package if package else _facts_of_checkpoint)(path)

    import_module("nequip.utils.global_state").set_global_state()
    loading = import_module("nequip.model.saved_models.load_utils")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            models: Mapping[str, Any] = loading.load_saved_model(str(path), model_key=None)
        except Exception as error:  # whatever the builders of the model raise
            raise ReadingError(
                f"{path}: nequip {version('nequip')} cannot make its model "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error
    return models, provenance, notes


def _facts_of_package(path: Path) -> tuple[dict[str, str], list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            archive = import_module("torch.package").PackageImporter(str(path))
            text = archive.load_text("model", "package_metadata.txt")
        except (RuntimeError, OSError) as error:
            raise ReadingError(
                f"{path} cannot be read as a package ({first_line(error)}), expected a file that "
                "'nequip-package build' wrote"
            ) from None
    versions = import_module("yaml").safe_load(text).get("versions", {})
    return _provenance(versions) | {"file": "package"}, []


def _facts_of_checkpoint(path: Path) -> tuple[dict[str, str], list[str]]:
    content = _read_checkpoint(path)
    try:
        hyper, state = content["hyper_parameters"], content["state_dict"]
        config, versions = hyper["model"], hyper["info_dict"]["versions"]
    except (KeyError, TypeError):
        raise ReadingError(
            f"{path} is no checkpoint of nequip: the entries 'state_dict' and 'hyper_parameters' "
            "with 'model' and 'info_dict' are expected"
        ) from None
    for target, other in _targets(config):
        if (name := target.rpartition(".")[2]) in _REOPENED:
            raise ReadingError(
                f"{path} is of a fine-tuning and opens {other.get(_REOPENED[name])} again, whose "
                "content is not checked, expected a package of it, which holds the whole model: "
                f"nequip-package build {path} {path.stem}.nequip.zip"
            )
        if find_spec(root := target.partition(".")[0]) is None:
            raise ModuleNotFoundError(f"{path} names {target}", name=root)
    weights = "as trained"
    if (average := state.get("ema._extra_state")) is not None:
        if not average["is_holding_ema_weights"]:
            raise ReadingError(
                f"{path} was written while the averaged weights and the trained ones were "
                "exchanged ('is_holding_ema_weights' is False), so that it is open which are "
                "which, expected a checkpoint that was written after a validation"
            )
        weights = f"averaged (decay {average['decay']}, {average['num_updates']} updates)"
    provenance = _provenance(versions) | {"file": "checkpoint", "weights": weights}
    notes = []
    if versions.get("nequip") != version("nequip"):
        notes.append(
            f"the checkpoint was written by nequip {versions.get('nequip')} and is read by "
            f"nequip {version('nequip')}, which builds the model again"
        )
    return provenance, notes


def _provenance(versions: Mapping[str, str]) -> dict[str, str]:
    return {
        "package": "nequip",
        "version": version("nequip"),
        "written by": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _read_checkpoint(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        pass  # a configuration with other objects than plain values
    except (RuntimeError, EOFError) as error:
        raise ReadingError(f"{path} cannot be read: {first_line(error)}") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ReadingError(f"{path} cannot be read: {first_line(error)}") from None


def _targets(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The functions that a configuration names, with their arguments."""
    if isinstance(config, Mapping):
        if isinstance(config.get("_target_"), str):
            yield config["_target_"], config
        for value in config.values():
            yield from _targets(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _targets(value)
