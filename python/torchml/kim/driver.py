"""Building the KIM model driver from an installed torchml and installing it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from torchml.errors import TorchMLError
from torchml.kim.collections import collection_folder, installed_folder

COLLECTIONS = ("user", "environment", "system")

_STEP = re.compile(r"\[ *(?P<part>\d+%|\d+/\d+)\] (?:Building|Linking) .*?(?P<file>[^/ ]+)$")
_SECONDS_BETWEEN_LINES = 30.0

Progress = Callable[[str], None]


def install_driver(
    collection: str = "user",
    *,
    force: bool = False,
    jobs: int | None = None,
    progress: Progress = lambda line: None,
) -> Path:
    """Build the KIM model driver from this package and install it into a KIM collection.

    The engine that the package was built with is linked where it fits this machine's torch and
    compiler; otherwise it is compiled from the sources in the package, which takes minutes. The
    driver depends on the torch of this Python, and no longer on the package.

    Args:
        collection: `user`, `environment` (the first folder of KIM_API_MODEL_DRIVERS_DIR) or
            `system`.
        force: Replace the driver that is in the collection.
        jobs: Number of files to compile at a time; the number of cores by default.
        progress: Called with a line of text at each step.

    Returns:
        The folder of the installed driver.

    Raises:
        TorchMLError: A tool is missing, the collection cannot be written to or has the driver
            already, or the driver could not be built.
    """
    if collection not in COLLECTIONS:
        raise TorchMLError(
            f"the KIM collection is '{collection}', expected one of {', '.join(COLLECTIONS)}"
        )
    _require_tools()
    target = collection_folder(collection)
    _require_writable(target, collection)
    with tempfile.TemporaryDirectory(prefix="torchml-driver-") as scratch:
        build = _configure(Path(scratch), collection, progress)
        name = _item_name(build)
        if (target / name).exists() and not force:
            raise TorchMLError(
                f"the KIM collection '{collection}' has {name} already; use --force to replace it"
            )
        cores = jobs or len(os.sched_getaffinity(0))
        _cmake("--build", build, "--parallel", cores, folder=build, progress=progress)
        _cmake("--install", build, folder=build)
    folder = target / name
    first = installed_folder(name)
    if first is not None and first.resolve() != folder.resolve():
        progress(f"KIM-API finds another {name} before this one, in {first}")
    return folder


def _configure(scratch: Path, collection: str, progress: Progress) -> Path:
    """Configure the driver in a new folder, and return that folder."""
    # A copy, because KIM-API's scripts cannot handle white space in paths.
    item = shutil.copytree(
        _item(), scratch / "item", ignore=shutil.ignore_patterns(".git", "build*", "tests", "docs")
    )
    build = scratch / "build"
    build.mkdir()
    progress(f"the driver links the torch in {_torch_root()}")
    option = f"-DKIM_API_INSTALL_COLLECTION={collection.upper()}"
    for line in _cmake("-S", item, "-B", build, option, folder=build):
        if match := re.match(r"-- TorchML engine: (compiled already|.*)", line):
            progress(f"the engine is {match[1]}")
    return build


def _item() -> Path:
    """The sources of the driver: in the package, or the clone that the package runs from."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "driver", package.parent.parent):
        if (folder / "kimspec.edn").is_file():
            return folder
    raise TorchMLError(
        f"the sources of the driver are not in {package / 'driver'}; install torchml again"
    )


def _torch_root() -> str:
    if root := os.environ.get("TORCH_ROOT"):
        return root
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise TorchMLError(f"{sys.executable} has no torch; install it with 'pip install torch'")
    return str(Path(spec.origin).parent)


def _require_tools() -> None:
    compiler = (os.environ.get("CXX") or "c++").split()[0]
    for tool, package in (("cmake", "cmake"), ("make", "make"), (compiler, "g++")):
        if shutil.which(tool) is None:
            raise TorchMLError(
                f"'{tool}' is not on the PATH, and the driver is built with it; install the "
                f"system's package {package}"
            )


def _require_writable(folder: Path, collection: str) -> None:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise TorchMLError(
            f"cannot write to {folder}, the KIM collection '{collection}'; choose another one with "
            "--collection"
        )


def _item_name(build: Path) -> str:
    match = re.search(r'^item-name:"(.*)"$', (build / "item-info.txt").read_text(), re.MULTILINE)
    if match is None:
        raise TorchMLError("KIM-API's build names no item; install KIM-API 2.2 or newer")
    return match[1]


def _cmake(*arguments: object, folder: Path, progress: Progress = lambda line: None) -> list[str]:
    """Run CMake in `folder` and return its lines; `progress` gets what is built, now and then."""
    lines: list[str] = []
    begin = time.monotonic()
    due = begin
    with subprocess.Popen(
        ["cmake", *map(str, arguments)],
        cwd=folder,
        env={"TORCH_ROOT": _torch_root(), **os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            lines.append(line)
            now = time.monotonic()
            if now >= due and (step := _STEP.search(line)):
                due = now + _SECONDS_BETWEEN_LINES
                progress(f"[{step['part']}] {step['file']}, {now - begin:.0f} s")
    if process.returncode != 0:
        words = [line.strip() for line in lines if line.strip()]
        errors = [i for i, line in enumerate(words) if "error" in line.lower()]
        first = errors[0] if errors else max(0, len(words) - 4)
        raise TorchMLError("the driver could not be built: " + " / ".join(words[first : first + 4]))
    return lines
