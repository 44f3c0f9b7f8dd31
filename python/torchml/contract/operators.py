"""Libraries of operators that a model needs beside those of torch."""

from __future__ import annotations

from collections.abc import Sequence


def load_extensions(libraries: Sequence[str]) -> None:
    """Load operator libraries.

    Args:
        libraries: paths, names of files in TORCHML_EXTENSION_PATH, or Python packages.

    Raises:
        FileNotFoundError: no file has this path.
        ImportError: no file and no package has this name.
    """
    import importlib
    import os

    import torch

    for library in libraries:
        folders = ["", *os.environ.get("TORCHML_EXTENSION_PATH", "").split(":")]
        paths = [os.path.join(f, file) for f in folders for file in (library, f"lib{library}.so")]
        if path := next(filter(os.path.isfile, paths), None):
            torch.ops.load_library(os.path.abspath(path))
        elif "/" in library:
            raise FileNotFoundError(f"there is no operator library {library}")
        else:
            importlib.import_module(library)
