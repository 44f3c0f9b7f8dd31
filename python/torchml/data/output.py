"""Files that are written as a whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_then_renamed(path: str | Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces `path` at the end.

    A crash leaves no half-written file, and the file of before as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        temporary = Path(scratch) / path.name
        yield temporary
        os.replace(temporary, path)
