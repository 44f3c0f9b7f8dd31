"""From what users name as a model to the files that the engine loads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchml import _core
from torchml.errors import TorchMLError
from torchml.kim import extract_parameter_files, installed_folder


@contextmanager
def model_files(model: str | Path) -> Iterator[Path]:
    """The archive of a file, or the folder with the files of a folder or KIM name.

    That of a checkpoint or of an installed model exists only as long as the context.
    """
    path = Path(model)
    if path.is_dir():
        yield path
    elif path.is_file():
        from torchml.importers.opening import opened

        with opened(path) as source:
            yield source.archive
    elif path.suffix or path.parent != Path():
        raise TorchMLError(f"{model}: no such file or folder, expected a model")
    elif installed_folder(str(model)) is None:
        raise TorchMLError(
            f"'{model}' is neither a folder, nor a file, nor a model in any KIM collection"
        )
    else:
        with tempfile.TemporaryDirectory() as scratch:
            extract_parameter_files(str(model), Path(scratch))
            yield Path(scratch)


def archive_of(path: Path) -> Path:
    """The archive at this path, or the one that the `.param` file in this folder names."""
    return Path(_core.archive_of_folder(str(path))) if path.is_dir() else path
