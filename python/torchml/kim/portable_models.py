"""The folder of a KIM portable model."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torchml.errors import FileError, TorchMLError
from torchml.kim.names import DRIVER, EXTENDED_ID

_EMBEDDING = Path(__file__).with_name("embed.cmake")


def write_portable_model(
    folder: Path,
    *,
    driver: str,
    species: Sequence[str],
    parameter_files: Mapping[str, str | Path],
    title: str,
    description: str,
    author: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write the folder of a portable model.

    Args:
        folder: folder to write; its name is the name of the model.
        driver: KIM ID of the model driver.
        species: chemical symbols, for kimspec.edn.
        parameter_files: by name, the content as text, or the path of a file to copy.
        title: for kimspec.edn.
        description: for kimspec.edn.
        author: for kimspec.edn.
        overwrite: replace an existing folder.

    Raises:
        FileError: the folder exists, or cannot be written.
        TorchMLError: `driver` is not the name of a model driver.
    """
    if not (match := EXTENDED_ID.fullmatch(driver)) or match["kind"] != "MD":
        raise TorchMLError(f"'{driver}' is no KIM model driver name, expected one such as {DRIVER}")
    if folder.exists() and not overwrite:
        raise FileError(f"{folder} exists already; pass --overwrite to replace it")
    name = folder.name
    texts = {
        "CMakeLists.txt": _cmake_lists(name, driver, list(parameter_files)),
        _EMBEDDING.name: _EMBEDDING,
        "kimspec.edn": _kimspec(name, driver, species, title, description, author),
        **parameter_files,
    }
    require_writable(folder.parent)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot create {folder.parent} ({error.strerror}), expected a folder for the model"
        ) from None
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for file_name, content in texts.items():
            if isinstance(content, Path):
                shutil.copyfile(content, new / file_name)
            else:
                (new / file_name).write_text(content)
        if folder.exists():
            os.rename(folder, Path(scratch) / "old")
        os.rename(new, folder)


def require_writable(folder: Path) -> None:
    """Raise FileError unless `folder` can be written or created; nothing is created yet."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise FileError(f"cannot write to {folder}, expected a folder for the model")


def _cmake_lists(name: str, driver: str, parameter_files: Sequence[str]) -> str:
    files = "\n".join(f'  "{file}"' for file in parameter_files)
    return f"""\
cmake_minimum_required(VERSION 3.10)

list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)

kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")

set(parameter_files
{files}
)
add_kim_api_model_library(
  NAME            ${{PROJECT_NAME}}
  DRIVER_NAME     "{driver}"
  PARAMETER_FILES ${{parameter_files}}
)

include(embed.cmake)
embed_parameter_files(${{PROJECT_NAME}} ${{parameter_files}})
"""


def _kimspec(
    name: str, driver: str, species: Sequence[str], title: str, description: str, author: str | None
) -> str:
    entries = {
        "domain": _edn("openkim.org"),
        "extended-id": _edn(name),
        "kim-api-version": _edn("2.2"),
        "model-driver": _edn(driver),
        "species": "[" + " ".join(_edn(symbol) for symbol in species) + "]",
        "title": _edn(title),
        "description": _edn(description),
    }
    if author:
        entries["author"] = _edn(author)
    return "{\n" + "".join(f"  {_edn(key)} {value}\n" for key, value in entries.items()) + "}\n"


def _edn(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
