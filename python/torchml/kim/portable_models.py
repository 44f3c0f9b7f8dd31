"""KIM portable models: names, folders, installation, and reading installed ones."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torchml.errors import TorchMLError

DRIVER = "TorchML__MD_173118614730_000"

_EXTENDED_ID = re.compile(r"(?P<prefix>[A-Za-z][A-Za-z0-9_]*?)__(?P<kind>MO|MD)_\d{12}_\d{3}")
_PREFIX = re.compile(r"(?!.*__)[A-Za-z][A-Za-z0-9_]*")
_LONGEST_PREFIX = 100


def model_name(name: str) -> str:
    """Extended KIM ID of a model; a short name such as `SW_Si` gets the ID of unpublished ones."""
    full = _EXTENDED_ID.fullmatch(name)
    prefix = full["prefix"] if full and full["kind"] == "MO" else name
    if not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_PREFIX:
        raise TorchMLError(
            f"'{name}' is no KIM model name, expected letters, digits and single underscores, "
            f"a letter first, at most {_LONGEST_PREFIX} (such as SW_Si), with or without an ID "
            "(such as SW_Si__MO_000000000000_000)"
        )
    return name if full else f"{name}__MO_000000000000_000"


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
    """Write a portable model for `driver`; the name of `folder` is the name of the model.

    Args:
        parameter_files: by name, the content as text, or the path of a file to copy.
        overwrite: replace a folder that is already there.
    """
    if not (match := _EXTENDED_ID.fullmatch(driver)) or match["kind"] != "MD":
        raise TorchMLError(f"'{driver}' is no KIM model driver name, expected one such as {DRIVER}")
    if folder.exists() and not overwrite:
        raise TorchMLError(f"{folder} exists already; pass --overwrite to replace it")
    name = folder.name
    texts = {
        "CMakeLists.txt": _cmake_lists(name, driver, list(parameter_files)),
        "kimspec.edn": _kimspec(name, driver, species, title, description, author),
        **parameter_files,
    }
    require_writable(folder.parent)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TorchMLError(
            f"cannot make {folder.parent} ({error.strerror}), expected a folder for the model"
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
    """Refuse a folder that cannot be written to, or be made; nothing is made yet."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise TorchMLError(f"cannot write to {folder}, expected a folder for the model")


def require_driver(driver: str) -> None:
    """Refuse when KIM-API does not find `driver` (it would try to download it)."""
    if installed_folder(driver) is None:
        raise TorchMLError(
            f"the model driver {driver} is not installed in any KIM collection; install it with "
            "'kim-api-collections-management install user FOLDER', FOLDER being the source folder "
            "of TorchML"
        )


def install(folder: Path, collection: str, *, force: bool = False) -> None:
    """Build the portable model in `folder` and install it into a KIM collection."""
    command = [_find_tool("kim-api-collections-management"), "install"]
    command += [*(["--force"] if force else []), collection]
    with tempfile.TemporaryDirectory() as scratch:  # KIM-API writes its log where it stands
        # A copy, because KIM-API's scripts cannot handle white space in paths.
        item = shutil.copytree(folder, Path(scratch) / folder.resolve().name.replace(" ", "_"))
        command.append(str(item))
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise TorchMLError(
            f"{folder.name} could not be installed into the KIM collection '{collection}': "
            + (" / ".join(lines[-4:]) or "kim-api-collections-management failed without a word")
        )


def installed_folder(name: str) -> Path | None:
    """Folder of the installed portable model or model driver `name`; None when there is none."""
    match = _EXTENDED_ID.fullmatch(name)
    kind = "model_drivers" if match and match["kind"] == "MD" else "portable_models"
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [_collections_info(), kind, "find", name],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
    # One line: collection, name, directory that holds the item's folder.
    words = done.stdout.strip().split(" ", 2)
    return Path(words[2]) / name if done.returncode == 0 and len(words) == 3 else None


def extract_parameter_files(name: str, folder: Path) -> list[Path]:
    """Write the parameter files that the installed portable model `name` carries into `folder`."""
    item = installed_folder(name)
    if item is None:
        raise TorchMLError(f"no portable model named '{name}' is installed in any KIM collection")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file_name, content in _embedded_files(item / "libkim-api-portable-model.so").items():
        path = folder / Path(file_name).name
        path.write_bytes(content)
        paths.append(path)
    return paths


class _EmbeddedFile(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("length", ctypes.c_uint),
        ("content", ctypes.c_void_p),
    ]


class _SharedLibrarySchema(ctypes.Structure):
    """KIM-API's SharedLibrarySchemaV2, which every installed item exports."""

    _fields_ = [
        ("item_type", ctypes.c_int),
        ("item_name", ctypes.c_char_p),
        ("create_language", ctypes.c_int),
        ("create_routine", ctypes.c_void_p),
        ("driver_name", ctypes.c_char_p),
        ("simulator_model_file", ctypes.POINTER(_EmbeddedFile)),
        ("parameter_file_count", ctypes.c_int),
        ("parameter_files", ctypes.POINTER(_EmbeddedFile)),
        ("metadata_file_count", ctypes.c_int),
        ("metadata_files", ctypes.POINTER(_EmbeddedFile)),
    ]


def _embedded_files(path: Path) -> dict[str, bytes]:
    try:
        library = ctypes.CDLL(str(path))
        version = ctypes.c_int.in_dll(library, "kim_shared_library_schema_version").value
        schema = _SharedLibrarySchema.in_dll(library, "kim_shared_library_schema")
    except (OSError, ValueError) as error:
        raise TorchMLError(f"{path} is not a KIM item ({error})") from None
    if version != 2:
        raise TorchMLError(f"{path} has the KIM item format {version}, expected 2 (KIM-API 2.2)")
    files = (schema.parameter_files[k] for k in range(schema.parameter_file_count))
    return {file.name.decode(): ctypes.string_at(file.content, file.length) for file in files}


def _find_tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise TorchMLError(f"{name} is not on the PATH; install KIM-API 2.2 or newer")
    return path


def _collections_info() -> str:
    """A KIM-API helper outside the PATH; its place is fixed relative to the management tool."""
    root = Path(_find_tool("kim-api-collections-management")).resolve().parent.parent
    path = root / "libexec" / "kim-api" / "kim-api-collections-info"
    if not path.is_file():
        raise TorchMLError(f"{path} is missing; install KIM-API 2.2 or newer")
    return str(path)


def _cmake_lists(name: str, driver: str, parameter_files: Sequence[str]) -> str:
    files = "\n".join(f'                  "{file}"' for file in parameter_files).lstrip()
    return f"""\
cmake_minimum_required(VERSION 3.10)

list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)

kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")

add_kim_api_model_library(
  NAME            ${{PROJECT_NAME}}
  DRIVER_NAME     "{driver}"
  PARAMETER_FILES {files}
)
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
