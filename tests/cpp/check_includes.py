"""Check that the C++ sources include only what lies below them.

    python tests/cpp/check_includes.py [repository]

Prints each offending line and exits with 1; prints the number of includes otherwise. The
layers, from the ground: common < descriptor < driver/core < driver/kim and python/bindings. Inside
driver/core, system.hpp and result.hpp are plain data that every folder may include; then spec and
host < graph < inputs, model and operators < the other files on top. Only kim includes KIM-API, only
core and what is above it include torch, only bindings include pybind11.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Each layer with the layers that it may include, apart from itself.
ALLOWED = {
    "common": (),
    "descriptor": ("common",),
    "core/data": ("common",),
    "core/spec": ("common", "descriptor"),
    "core/host": ("common",),
    "core/graph": ("common", "core/data", "core/spec", "core/host"),
    "core/inputs": (
        *("common", "descriptor", "core/data"),
        *("core/spec", "core/host", "core/graph"),
    ),
    "core/model": ("common", "core/spec", "core/host"),
    "core/operators": ("common", "core/host"),
    "core": (
        *("common", "descriptor", "core/data", "core/spec", "core/host"),
        *("core/graph", "core/inputs", "core/model", "core/operators"),
    ),
    "kim": ("common", "core", "core/data", "core/spec", "core/host", "core/model"),
    "bindings": (
        *("common", "descriptor", "core", "core/data", "core/spec"),
        *("core/host", "core/graph", "core/model", "core/operators"),
    ),
}
PLAIN_DATA = ("driver/core/system.hpp", "driver/core/result.hpp")
# Folders in which the compiler looks for an included name, after the folder of the file itself.
ROOTS = ("common/include", "descriptor/include", "descriptor/src", "driver/core", "driver/kim")
SOURCES = ("common", "descriptor/include", "descriptor/src", "driver", "python/bindings")
# Headers of other libraries, and the layers that include them.
LIBRARIES = {
    re.compile(r"KIM_"): ("kim",),
    re.compile(r"pybind11/"): ("bindings",),
    re.compile(r"(torch|ATen|c10|caffe2)/"): ("core", "kim", "bindings"),
}
INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')


def layer_of(path: str) -> str:
    """Return the layer of a source, a path relative to the repository."""
    if path in PLAIN_DATA:
        return "core/data"
    parts = path.split("/")
    if parts[0] in ("common", "descriptor"):
        return parts[0]
    if parts[0] == "python":
        return "bindings"
    if parts[1] == "kim":
        return "kim"
    return "/".join(parts[1:-1][:2])


def included(source: Path, name: str, repository: Path) -> str | None:
    """Return the file of the repository that `name` stands for, or None if it is another's."""
    for folder in (source.parent, *(repository / root for root in ROOTS)):
        if (file := folder / name).is_file():
            return file.resolve().relative_to(repository).as_posix()
    return None


def complaint(layer: str, name: str, target: str | None) -> str | None:
    """Return what is wrong when `layer` includes `name`, the file `target` if it is one of ours."""
    if target is None:
        for library, users in LIBRARIES.items():
            if library.match(name) and layer.split("/")[0] not in users:
                return f"{layer} includes {name}, expected it only in {', '.join(users)}"
        return None
    below = layer_of(target)
    if below == layer or below in ALLOWED[layer]:
        return None
    allowed = ", ".join(ALLOWED[layer]) or "nothing"
    return f"{layer} includes {below} ({target}), expected {allowed}"


def checked_includes(repository: Path) -> Iterator[str | None]:
    """Yield, for each include, a message with file and line, or None if it is allowed."""
    for folder in SOURCES:
        for source in sorted((repository / folder).rglob("*.[ch]pp")):
            path = source.relative_to(repository).as_posix()
            for number, line in enumerate(source.read_text().splitlines(), 1):
                if match := INCLUDE.match(line):
                    target = included(source, match[1], repository)
                    message = complaint(layer_of(path), match[1], target)
                    yield f"{path}:{number}: {message}" if message else None


def main() -> int:
    repository = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    includes = list(checked_includes(repository))
    messages = [message for message in includes if message]
    print("\n".join(messages) or f"{len(includes)} includes point down")
    return 1 if messages or not includes else 0


if __name__ == "__main__":
    sys.exit(main())
