"""From the name of a model to the files that the engine loads."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml import _core
from torchml.errors import FileError, TorchMLError
from torchml.kim import extract_parameter_files, installed_folder


@contextmanager
def model_files(
    model: str | Path, foreign: Mapping[str, Any] | None = None, device: str = "cpu"
) -> Iterator[Path]:
    """Find the files of a model.

    The files of a checkpoint or of an installed model exist only as long as the context.

    Args:
        model: folder of a portable model, `.pt` or `.pt2` archive, checkpoint of a training, or
            name of an installed KIM model.
        foreign: fields of `torchml.importers.opening.Foreign`, for a model of another package.
        device: where it runs, for checkpoints that are compiled.

    Yields:
        Path of an archive, or of a folder with the files of a portable model.

    Raises:
        FileError: no model has this name, or it is a file of settings.
    """
    path = Path(model)
    if foreign is not None:
        from torchml.export.opened import opened
        from torchml.importers.opening import Foreign

        with opened(model, foreign=Foreign(**foreign), device=device) as source:
            yield source.archive
    elif path.is_dir():
        yield path
    elif path.is_file() and path.suffix in (".yaml", ".yml"):
        raise FileError(
            f"{model} is a file of settings, expected a model; a configuration of a training "
            "follows --config"
        )
    elif path.is_file():
        from torchml.export.opened import opened

        with opened(path, device=device) as source:
            yield source.archive
    elif path.suffix or path.parent != Path():
        raise FileError(f"{model}: no such file or folder, expected a model")
    elif installed_folder(str(model)) is None:
        raise FileError(
            f"'{model}' is neither a folder, nor a file, nor a model in any KIM collection"
        )
    else:
        with tempfile.TemporaryDirectory() as scratch:
            extract_parameter_files(str(model), Path(scratch))
            yield Path(scratch)


@dataclass(frozen=True)
class StoredFiles:
    """The files of an opened model in memory, for copies in other processes.

    The files on disk may have changed by then, or be gone.

    Attributes:
        contents: bytes by name.
        in_folder: whether they are the folder of a portable model, or one archive.
    """

    contents: Mapping[str, bytes]
    in_folder: bool

    @classmethod
    def read(cls, path: Path) -> StoredFiles:
        """Read an archive, or what the engine reads of the folder of a portable model."""
        paths = [path]
        if path.is_dir():
            paths = _archives_in(path)
            paths += [one for one in path.iterdir() if one.suffix in (".param", ".dat")]
        return cls({one.name: one.read_bytes() for one in paths}, path.is_dir())

    def digest(self) -> str:
        """Return a text that differs for different names or contents."""
        state = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            state.update(f"{name} {len(content)} ".encode() + content)
        return state.hexdigest()

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Write the files; the path of the archive or of the folder is valid in the context."""
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in self.contents.items():
                (Path(scratch) / name).write_bytes(content)
            yield Path(scratch) if self.in_folder else Path(scratch) / next(iter(self.contents))


def archive_of(path: Path) -> Path:
    """Return the archive at `path`, or the one of this folder that runs here."""
    if not path.is_dir():
        return path
    named, *fallback = _archives_in(path)
    try:
        if fallback:
            _core.require_fit(str(named))
    except TorchMLError:
        return fallback[0]
    return named


def _archives_in(folder: Path) -> list[Path]:
    """Return the archive that the `.param` file names and, if it is compiled, its fallback."""
    named = Path(_core.archive_of_folder(str(folder)))
    scripted = named.with_suffix(".pt")
    return [named, scripted] if named.suffix == ".pt2" and scripted.exists() else [named]
