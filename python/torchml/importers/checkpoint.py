"""Checkpoints: how one describes the model in it, and how that model is built again.

A checkpoint is Lightning's, with one entry more: the class and the arguments of the model. It holds
tensors and plain values only, so that reading one runs no code that came with the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

import torchml
from torchml.contract.archives import check_archive, open_zip
from torchml.contract.metadata import quiet_torchscript
from torchml.contract.torchscript import load_script
from torchml.data.output import written_then_renamed
from torchml.errors import FileError, ModelError, TorchMLError
from torchml.importers.fine_tuned import Changes, FineTuned, LoRA
from torchml.importers.imported import described, of_description
from torchml.importers.reading.source import first_line
from torchml.models.base import EdgeModel
from torchml.models.build import build, describe_class, find_class
from torchml.models.names import public_name
from torchml.models.posterior import Posterior
from torchml.models.scaled import Scaled
from torchml.models.staged import StagedModel

KEY = "torchml"
FORMAT = 1
_MODEL = "model."  # where the task keeps the model


class Task(Protocol):
    """The parts of a training task that a checkpoint describes: its kind and its model."""

    kind: str
    model: Any

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors of the task by name."""


def describe(task: Task) -> dict[str, Any]:
    """The entry `torchml` of the checkpoint of a task."""
    return _entry(task.kind, task.model)


def _entry(kind: str, model: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"format": FORMAT, "version": torchml.__version__, "task": kind}
    if isinstance(model, StagedModel):
        return entry | {"staged": _describe_staged(model)}
    if isinstance(model, FineTuned):
        return entry | model.describe()
    class_path, arguments = describe_class(model.network)
    return entry | {"model": {"class_path": class_path, "arguments": arguments}}


def kind_of(path: str | Path) -> str:
    """Return the kind of the task that wrote a checkpoint, such as s2ef."""
    return str(read_checkpoint(path)[KEY].get("task"))


def save_model(model: Scaled, path: str | Path, kind: str) -> None:
    """Write a checkpoint of a model, from which no training can continue.

    Args:
        model: in evaluation mode.
        path: of the checkpoint.
        kind: of the task that trained it.
    """
    state = {_MODEL + name: value for name, value in model.state_dict().items()}
    with written_then_renamed(path) as draft:
        torch.save({"state_dict": state, KEY: _entry(kind, model)}, draft)


def load_model(path: str | Path) -> EdgeModel | StagedModel:
    """Build the trained model of a checkpoint.

    Args:
        path: of the checkpoint.

    Returns:
        The model in evaluation mode, with averaged weights where the training averaged them, and
        with the changes of a fine-tuning merged into them.

    Raises:
        TorchMLError: the file is damaged, is no checkpoint, or does not fit its own model.
    """
    model, entry = _load(path)
    return model.merged(_start(entry["model"])) if isinstance(model, FineTuned) else model


def load_start(path: str | Path) -> tuple[Scaled, dict[str, Any]]:
    """Return the model of a checkpoint and its description, to train it again.

    Raises:
        TorchMLError: as `load_model`, or the network is stored as TorchScript.
    """
    model, entry = _load(path)
    if isinstance(model, StagedModel):
        raise ModelError(
            f"{path} holds a network of staged graphs, which cannot be fine-tuned, expected an "
            "EdgeModel"
        )
    plain = model.merged(_start(entry["model"])) if isinstance(model, FineTuned) else model
    if isinstance(plain.network, Posterior):
        raise ModelError(
            f"{path} holds members that were drawn around the weights as they are, expected the "
            "checkpoint of the training, from which torchml uncertainty made it"
        )
    return plain, entry["model"]


def load_fine_tuned(path: str | Path) -> FineTuned:
    """Return the model of a fine-tuning as it is trained, its changes not merged.

    Raises:
        TorchMLError: as `load_model`, or the checkpoint is of another training.
    """
    model, _ = _load(path)
    if not isinstance(model, FineTuned):
        raise ModelError(
            f"{path} is not of a fine-tuning, but the configuration has model.init_from, expected "
            "a checkpoint of a training with it"
        )
    return model


def _load(path: str | Path) -> tuple[Scaled | StagedModel, dict[str, Any]]:
    """The model of a checkpoint as it was trained, and its entry."""
    content = read_checkpoint(path)
    entry: dict[str, Any] = content[KEY]
    state = {
        name.removeprefix(_MODEL): value
        for name, value in content["state_dict"].items()
        if name.startswith(_MODEL)
    }
    try:
        model = _model_of(entry)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: the entry '{KEY}' does not describe a model: {error}") from None
    except TorchMLError as error:
        raise ModelError(f"{path}: {error}") from None
    _check_state(model, state, path)
    model.load_state_dict(state)
    return model.eval(), entry


def _model_of(entry: Mapping[str, Any]) -> Scaled | StagedModel:
    """A model of the structure that an entry describes."""
    if "staged" in entry:
        return _build_staged(entry["staged"])
    start = _start(entry["model"])
    if "fine_tuning" not in entry:
        return start
    changes = dict(entry["fine_tuning"])
    lora = changes.pop("lora")
    model = FineTuned(start, Changes(**changes, lora=None if lora is None else LoRA(**lora)))
    model.base = entry["model"]
    model.settled = True
    return model


def _start(description: Mapping[str, Any]) -> Scaled:
    """The model of a class and its arguments, or that of another package."""
    if "imported" in description:
        return of_description(description["imported"])
    return Scaled(build(description["class_path"], description["arguments"]))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values; reading it runs no code.

    Raises:
        TorchMLError: the file is damaged, or no task of this package wrote it.
    """
    path = Path(path)
    content = _read_archive(path)
    if not isinstance(content, dict) or "state_dict" not in content or KEY not in content:
        raise FileError(
            f"{path} is no checkpoint of TorchML: the entries 'state_dict' and '{KEY}' are "
            "expected, or '--from KIND' for the export of a model of another package"
        )
    entry = content[KEY]
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        written = entry.get("format") if isinstance(entry, dict) else entry
        raise FileError(f"{path} has the format {written}, this version reads format {FORMAT}")
    for name, value in content["state_dict"].items():
        if not isinstance(value, torch.Tensor):
            raise FileError(f"{path}: '{name}' is a {type(value).__name__}, expected a tensor")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise FileError(f"{path}: '{name}' holds values that are not finite")
    return content


def check(path: str | Path, task: Task) -> dict[str, Any]:
    """Return the content of a checkpoint from which the task can continue.

    Raises:
        TorchMLError: the task or the network is another one, or a tensor does not fit.
    """
    content = read_checkpoint(path)
    there, here = (_comparable(entry) for entry in (content[KEY], describe(task)))
    if differences := list(_differences(there, here)):
        name, theirs, ours = differences[0]
        raise ModelError(
            f"{path} was written with {name} {theirs!r}, but the configuration says {ours!r}"
        )
    _check_state(task, content["state_dict"], path)
    return content


def _comparable(entry: Mapping[str, Any]) -> Any:
    """What a checkpoint says about task and model, without the code of a network."""
    code = ("script", "unscripted")
    staged = {key: value for key, value in (entry.get("staged") or {}).items() if key not in code}
    staged.setdefault("details", {})  # which earlier versions did not write
    model = dict(entry.get("model") or {})
    if "imported" in model:
        model["imported"] = described(model["imported"])
    return _with_public_names(
        {
            "task": entry.get("task"),
            "model": model,
            "fine_tuning": entry.get("fine_tuning"),
            "staged": staged,
        }
    )


def _with_public_names(value: Any) -> Any:
    """The same with public class paths: earlier versions wrote the module of a class."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: public_name(find_class(entry)) if key == "class_path" else _with_public_names(entry)
        for key, entry in value.items()
    }


def _differences(one: Any, other: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, value, other value) of each difference, with dots between nested names."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one | other:
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}".lstrip("."))
    elif one != other:
        yield name, one, other


def _read_archive(path: Path) -> Any:
    if not path.is_file():
        raise FileError(f"{path}: no such file, expected a checkpoint")
    try:
        with open_zip(path) as archive:
            check_archive(path, "checkpoint")
            damaged = archive.testzip()
        if damaged is not None:
            raise FileError(
                f"{path} is damaged: the checksum of its part '{damaged}' is wrong; it was "
                "truncated or edited"
            )
        return torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile:
        raise FileError(
            f"{path} is not a whole checkpoint: it was truncated, or is another kind of file"
        ) from None
    except pickle.UnpicklingError:
        raise FileError(
            f"{path} holds objects that are neither tensors nor plain values: it was edited, or is "
            "not TorchML's"
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        if isinstance(error, TorchMLError):
            raise
        raise FileError(f"{path} cannot be read: {first_line(error)}") from None


def _check_state(model: Any, state: dict[str, Any], path: str | Path) -> None:
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise ModelError(f"{path}: the tensor '{name}' of the model is missing")
        if state[name].shape != value.shape:
            raise ModelError(
                f"{path}: the tensor '{name}' has the shape {list(state[name].shape)}, "
                f"expected {list(value.shape)}"
            )
    if unknown := sorted(set(state) - set(expected)):
        raise ModelError(f"{path}: the tensor '{unknown[0]}' does not belong to the model")


def _describe_staged(model: StagedModel) -> dict[str, Any]:
    """The entry of a user's own network, which is stored as TorchScript."""
    entry = {
        "species": model.species,
        "cutoff": model.cutoff,
        "layers": model.exported_layers,
        "species_input": model.species_input,
        "details": model.details,
    }
    try:
        script = script_network(model)
    except ModelError as error:
        if model.needs_script:
            raise
        return entry | {"unscripted": str(error)}
    return entry | {"script": torch.frombuffer(bytearray(script), dtype=torch.uint8)}


def script_network(model: StagedModel) -> bytes:
    """The network of a staged model as the bytes of a TorchScript archive.

    Raises:
        TorchMLError: TorchScript cannot compile the network.
    """
    buffer = io.BytesIO()
    try:
        with quiet_torchscript():
            torch.jit.save(model.compiled(), buffer)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{type(model.network).__name__} cannot be compiled to TorchScript, which simulators "
            f"need: {first_line(error)}"
        ) from error
    return buffer.getvalue()


def _build_staged(entry: dict[str, Any]) -> StagedModel:
    if "unscripted" in entry:
        raise ModelError(f"it contains no network for simulators: {entry['unscripted']}")
    archive = entry["script"].numpy().tobytes()
    network = load_script(archive, "network in TorchScript", "the checkpoint")
    return StagedModel(
        network, entry["species"], entry["cutoff"], entry["layers"], entry["species_input"]
    )
