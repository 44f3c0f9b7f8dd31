"""The metadata and files of a model, read without loading it: `torchml inspect MODEL`."""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml import _core
from torchml.contract import keys, metadata
from torchml.contract.archives import open_zip
from torchml.contract.completion import merge
from torchml.contract.metadata import ModelMetadata
from torchml.errors import FileError
from torchml.kim import extract_parameter_files, installed_folder

CHECKPOINT, SCRIPT, COMPILED = "checkpoint", "TorchScript archive", "compiled archive"


@dataclass(frozen=True)
class Inspection:
    """What a model declares, and the files that it consists of.

    Attributes:
        kind: checkpoint, TorchScript archive, compiled archive or portable model.
        metadata: of the archive and its `.param` file; of a checkpoint, the arguments of its model.
        files: size in bytes by name: files of a folder, parts of an archive.
    """

    kind: str
    metadata: Mapping[str, str]
    files: Mapping[str, int]


def inspect_model(model: str | Path) -> Inspection:
    """Read the metadata of a model; none of its code runs.

    Args:
        model: folder of a portable model, `.pt` or `.pt2` archive, checkpoint of a training, or
            name of an installed KIM model.

    Raises:
        FileError: no model has this name, or its file is of another kind.
        TorchMLError: the metadata are wrong, or contradict each other.
    """
    with _located(model) as path:
        if path.is_dir():
            return _inspect_folder(path)
        parts = _parts(path)
        kind = _kind(path, parts)
        if kind == CHECKPOINT:
            return Inspection(kind, _arguments(path), parts)
        return Inspection(kind, (metadata.read(path) or ModelMetadata()).to_fields(), parts)


@contextmanager
def _located(model: str | Path) -> Iterator[Path]:
    """Yield the file or folder of a model; that of an installed one is temporary."""
    path = Path(model)
    if path.exists():
        yield path
    elif path.suffix or path.parent != Path() or installed_folder(str(model)) is None:
        raise FileError(
            f"{model}: no such file, folder or installed KIM model, expected the name of a model"
        )
    else:
        with tempfile.TemporaryDirectory() as scratch:
            extract_parameter_files(str(model), Path(scratch))
            yield Path(scratch)


def _inspect_folder(folder: Path) -> Inspection:
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    archive = Path(_core.archive_of_folder(str(folder)))
    (param,) = folder.glob("*.param")
    outer = _core.read_param_file(str(param))
    only_there = {key: outer.pop(key) for key in list(outer) if _place(key) == "param"}
    inner = metadata.read(archive) or ModelMetadata()
    merged = merge(
        (f"the metadata of {archive.name}", inner),
        (param.name, ModelMetadata.from_fields(outer, str(param))),
    )
    return Inspection("portable model", merged.to_fields() | only_there, files)


def _place(name: str) -> str:
    key = keys.find_key(name)
    return key.place if key else ""


def _parts(path: Path) -> dict[str, int]:
    """Return the sizes of the members of a zip file, one sum for each of its folders."""
    sizes: dict[str, int] = {}
    try:
        with open_zip(path) as archive:
            for member in archive.infolist():
                _, part, *inside = member.filename.split("/")
                part += "/" if inside else ""
                sizes[part] = sizes.get(part, 0) + member.file_size
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FileError(
            f"{path} is not a readable archive ({error}), expected a .pt, .pt2 or .ckpt file"
        ) from None
    return sizes


def _kind(path: Path, parts: Mapping[str, int]) -> str:
    if "constants.pkl" in parts:
        return SCRIPT
    if path.suffix == ".ckpt" or "data.pkl" in parts:
        return CHECKPOINT
    return COMPILED


def _arguments(checkpoint: Path) -> dict[str, str]:
    """Return class and arguments of the model in a checkpoint, which holds plain values only."""
    from torchml.importers import checkpoint as checkpoints
    from torchml.importers.imported import described

    entry: dict[str, Any] = checkpoints.read_checkpoint(checkpoint)[checkpoints.KEY]
    texts = {"task": str(entry["task"]), "torchml_version": str(entry.get("version", ""))}
    if "model" not in entry:
        staged = entry["staged"]
        return texts | {key: _plain(value) for key, value in staged.items() if key != "script"}
    if "imported" in entry["model"]:  # a network of another package that was trained further
        facts = described(entry["model"]["imported"])
        provenance = facts.pop("provenance")
        return texts | {key: _plain(value) for key, value in (facts | provenance).items()}
    arguments = entry["model"]["arguments"]
    texts["class_path"] = entry["model"]["class_path"]
    return texts | {key: _plain(value) for key, value in arguments.items()}


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def texts() -> dict[str, str]:
    """Return the texts of the parser of the command."""
    return {"description": "Print metadata, provenance and files of a model without loading it."}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "model",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )


def run(options: argparse.Namespace) -> int:
    """Print metadata, provenance and files of a model."""
    inspection = inspect_model(options.model)
    provenance = {k: v for k, v in inspection.metadata.items() if _place(k) == "provenance"}
    facts = {k: v for k, v in inspection.metadata.items() if k not in provenance}
    sizes = {name: f"{size:,} bytes" for name, size in inspection.files.items()}
    print(f"{options.model}: {inspection.kind}")
    for title, rows in (("metadata", facts), ("provenance", provenance), ("files", sizes)):
        print(f"\n{title}")
        width = max(map(len, rows), default=0)
        for key, text in rows.items():
            lines = text.strip().splitlines() or [""]
            print(f"  {key:{width}}  {lines[0]}")
            for line in lines[1:]:
                print(f"  {'':{width}}  {line}")
        if not rows:
            print("  none")
    return 0
