"""Libraries of operators that a model needs and torch does not have."""

from __future__ import annotations

from collections.abc import Sequence


def load_extensions(libraries: Sequence[str]) -> None:
    """Load operator libraries: paths, files in TORCHML_EXTENSION_PATH, or Python packages."""
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
