"""KIM collections: installing models, finding them, and reading the files in them."""

from __future__ import annotations

import base64
import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

from torchml.errors import FileError, TorchMLError
from torchml.kim.names import EXTENDED_ID


def require_driver(driver: str) -> None:
    """Raise TorchMLError unless `driver` is installed; KIM-API would try to download it."""
    if installed_folder(driver) is None:
        raise TorchMLError(
            f"the model driver {driver} is not installed in any KIM collection; install it with "
            "'python -m torchml.kim install-driver'"
        )


def install(folder: Path, collection: str, *, force: bool = False) -> None:
    """Build a portable model and install it into a KIM collection.

    Args:
        folder: folder of the portable model.
        collection: user, environment, system or CWD.
        force: replace an installed model of this name.

    Raises:
        TorchMLError: KIM-API cannot build or install the model.
    """
    command = [_find_tool("kim-api-collections-management"), "install"]
    command += [*(["--force"] if force else []), collection]
    with tempfile.TemporaryDirectory() as scratch:  # KIM-API writes its log there
        # A copy, because KIM-API's scripts cannot handle white space in paths.
        item = shutil.copytree(folder, Path(scratch) / folder.resolve().name.replace(" ", "_"))
        command.append(str(item))
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise TorchMLError(
            f"{folder.name} could not be installed into the KIM collection '{collection}': "
            + (" / ".join(lines[-4:]) or "the command printed nothing")
        )


def installed_folder(name: str) -> Path | None:
    """Return the folder of an installed portable model or model driver; None if not installed."""
    match = EXTENDED_ID.fullmatch(name)
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


def collection_folder(collection: str) -> Path:
    """Folder of the model drivers of a KIM collection: `user`, `environment` or `system`."""
    source = {"user": "config_file", "environment": "env", "system": "system"}[collection]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [_collections_info(), source, "model_drivers"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
    folders = done.stdout.splitlines()
    if done.returncode != 0 or not folders:
        hint = "; set KIM_API_MODEL_DRIVERS_DIR" if collection == "environment" else ""
        raise TorchMLError(f"KIM-API names no folder of the collection '{collection}'{hint}")
    return Path(folders[0])


def extract_parameter_files(name: str, folder: Path) -> list[Path]:
    """Copy the parameter files of an installed portable model.

    Args:
        name: KIM ID of the model.
        folder: folder to write; created if missing.

    Returns:
        Paths of the copies.

    Raises:
        FileError: the model is not installed, or is not an item of KIM-API 2.2.
    """
    item = installed_folder(name)
    if item is None:
        raise FileError(f"no portable model named '{name}' is installed in any KIM collection")
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
        raise FileError(f"{path} is not a KIM item ({error})") from None
    if version != 2:
        raise FileError(f"{path} has the KIM item format {version}, expected 2 (KIM-API 2.2)")
    files = _contents(schema.parameter_files, schema.parameter_file_count)
    about = _contents(schema.metadata_files, schema.metadata_file_count)
    # KIM-API 2.4 embeds base64, whose alphabet has no full stop; a version has some.
    if b"." not in about["item-compiled-with-version.txt"]:
        files = {name: base64.b64decode(content) for name, content in files.items()}
    return files


def _contents(files: ctypes._Pointer[_EmbeddedFile], count: int) -> dict[str, bytes]:
    return {
        files[k].name.decode(): ctypes.string_at(files[k].content, files[k].length)
        for k in range(count)
    }


def _find_tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise TorchMLError(f"{name} is not on the PATH; install KIM-API 2.2 or newer")
    return path


def _collections_info() -> str:
    """Return the path of a KIM-API helper outside the PATH, relative to the management tool."""
    root = Path(_find_tool("kim-api-collections-management")).resolve().parent.parent
    path = root / "libexec" / "kim-api" / "kim-api-collections-info"
    if not path.is_file():
        raise TorchMLError(f"{path} is missing; install KIM-API 2.2 or newer")
    return str(path)
