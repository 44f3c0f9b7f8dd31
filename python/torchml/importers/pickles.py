"""What a pickle names, found without reading it as a pickle.

Reading a pickle can run any code. Its instructions can be listed without running one of them
(pickletools), and the names of the classes show from which package a file comes.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from torchml.contract.archives import open_zip

# What tensors and plain values are made of; torch reads these with `weights_only=True`.
_PLAIN_MODULES = ("collections", "torch", "torch._utils", "torch.storage", "torch._tensor")
_MOST_BYTES = 1 << 26  # of a pickle in a zip file, which may unpack to far more than the file
_PICKLES_IN_FILE = 5  # torch.save before 1.6 writes so many, one after the other


def foreign_names(path: Path) -> list[str]:
    """The classes and functions, as `module.name`, that a pickle in a file asks for.

    Those of tensors and plain values are left out.

    Args:
        path: any file: of torch.save, old or new, a bare pickle, or something else.

    Returns:
        The names in their order; none for a file that holds no pickle, or a plain one.
    """
    names: list[str] = []
    for stream in _pickles(path):
        for _ in range(_PICKLES_IN_FILE):
            try:
                _list_names(stream, names)
            except Exception:  # damaged, at its end, or no pickle at all
                break
    return [name for name in dict.fromkeys(names) if name.rpartition(".")[0] not in _PLAIN_MODULES]


def texts_of(path: Path) -> set[str]:
    """The texts in a pickle, among them the keys of its mappings; none for other files.

    Args:
        path: any file.
    """
    texts: set[str] = set()
    for stream in _pickles(path):
        for _ in range(_PICKLES_IN_FILE):
            try:
                texts.update(
                    value
                    for code, value, _ in pickletools.genops(stream)
                    if isinstance(value, str) and "GLOBAL" not in code.name
                )
            except Exception:  # damaged, at its end, or no pickle at all
                break
    return texts


def _pickles(path: Path) -> Iterator[IO[bytes]]:
    """The pickle in a zip file of torch.save, or the file itself."""
    try:
        if zipfile.is_zipfile(path):
            with open_zip(path) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        with archive.open(name) as part:
                            yield io.BytesIO(part.read(_MOST_BYTES))
        else:
            with path.open("rb") as stream:
                yield stream
    # What Python's zip files raise for damaged parts, and for parts that are encrypted.
    except (OSError, RuntimeError, ValueError, struct.error, zlib.error, zipfile.BadZipFile):
        return


def _list_names(stream: IO[bytes], names: list[str]) -> None:
    """Add the names in one pickle; texts are followed, since newer pickles take names from them."""
    texts: list[str] = []
    memo: dict[Any, str | None] = {}
    top: str | None = None  # what the last instruction put on the stack, if that is a text
    for code, value, _ in pickletools.genops(stream):
        if code.name in ("GLOBAL", "INST"):
            names.append(str(value).replace(" ", "."))
        elif code.name == "STACK_GLOBAL" and len(texts) > 1:
            names.append(".".join(texts[-2:]))
        if code.name == "MEMOIZE":
            memo[len(memo)] = top
        elif code.name.endswith("PUT"):
            memo[value] = top
        else:
            got = memo.get(value) if code.name.endswith("GET") else value
            top = got if isinstance(got, str) and "GLOBAL" not in code.name else None
            if top is not None:
                texts.append(top)
