"""A model under a name of KIM-API for as long as it is checked."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchml import kim
from torchml.contract import metadata
from torchml.errors import FileError, ModelError
from torchml.export import Export, export


@contextmanager
def installed_model(model: str | Path) -> Iterator[str]:
    """Yield the name of an installed KIM model; a folder or an archive is installed temporarily.

    It is installed into a separate collection, before the others in KIM_API_PORTABLE_MODELS_DIR.

    Raises:
        FileError: no model has this name.
        ModelError: the model cannot be exported.
    """
    path = Path(model)
    if not path.exists():
        if kim.installed_folder(str(model)) is None:
            raise FileError(
                f"'{model}' is neither a folder, nor a file, nor a model in any KIM collection"
            )
        yield str(model)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = path.resolve() if path.is_dir() else _exported(path, Path(scratch))
        name = _project_name(folder)
        if kim.installed_folder(name):  # a name can be installed only once
            folder, name = _renamed(folder, name, Path(scratch))
        collection = Path(scratch) / "collection"
        collection.mkdir()
        others = os.environ.get("KIM_API_PORTABLE_MODELS_DIR")
        collections = f"{collection}:{others}" if others else str(collection)
        # KIM-API refuses a name that any of its collections holds: hide the others.
        with environment(KIM_API_PORTABLE_MODELS_DIR=str(collection)):
            kim.install(folder, "environment")
        with environment(KIM_API_PORTABLE_MODELS_DIR=collections):
            yield name


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables inside the context."""
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _exported(path: Path, parent: Path) -> Path:
    """Make the portable model of an archive with metadata, and return its folder."""
    facts = metadata.read(path)
    if facts is None:
        raise ModelError(
            f"{path} has no metadata, expected them in the archive: export it with "
            "'torchml export' and check the folder that this writes"
        )
    name = "_".join(["Validation", *re.findall("[A-Za-z0-9]+", path.stem)])
    result = export(Export(path, name=name, output=parent))
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise ModelError(f"{path} cannot be exported: {failed.name}: {failed.detail}")
    return result.folder


def _renamed(folder: Path, name: str, parent: Path) -> tuple[Path, str]:
    """Copy the folder of a portable model under another name."""
    other = f"Checked_{name}"
    copy = shutil.copytree(folder, parent / other)
    file = copy / "CMakeLists.txt"
    file.write_text(re.sub(rf"(?m)^(\s*project\(\s*){name}\b", rf"\g<1>{other}", file.read_text()))
    return copy, other


def _project_name(folder: Path) -> str:
    """Return the name under which CMake installs the portable model in a folder."""
    file = folder / "CMakeLists.txt"
    text = file.read_text() if file.is_file() else ""
    match = re.search(r"^\s*project\(\s*(\w+)", text, re.MULTILINE)
    if match is None:
        raise FileError(f"{file}: no project(NAME), expected the folder of a portable model")
    return match[1]
