"""Models of MACE (https://github.com/ACEsuit/mace) in every simulator.

    python -m torchml_export mace.model --from mace --install user

or, to choose elements and head,

    torchml.export_model("mace.model", source="mace", species=["Si", "O"], head="pbe")

The model becomes a function of edge vectors, `torchml.importers.networks.mace.MACE`, whose
results are compared with those of MACE's own calculator before it is returned. mace-torch is needed
to read the file, not to run the exported model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from torchml.contract import metadata
from torchml.errors import ModelError
from torchml.importers import foreign
from torchml.importers.imported import imported
from torchml.importers.pickles import foreign_names
from torchml.importers.reading.source import ReadingError, Wish
from torchml.models.base import float_type
from torchml.models.scaled import Scaled
from torchml.models.scripting import describe, script


def load(
    model: str | Path | torch.nn.Module,
    species: Sequence[str] | None = None,
    head: str | None = None,
) -> Scaled:
    """The potential of a MACE model, in float64.

    Args:
        model: file that MACE saved, or the module itself. A file is a pickle, which can run any
            code: it must come from a source that you trust. It is read in a process of its own, so
            that MACE is not imported here.
        species: chemical symbols of the elements wanted; None takes all of the model.
        head: which head, of a model with several.

    Returns:
        The potential, which gives the results of MACE's own calculator.

    Raises:
        TorchMLError: the file is no MACE, this variant is not supported, or mace-torch is missing.
    """
    symbols = species and list(species)
    if isinstance(model, torch.nn.Module):
        name = type(model).__name__
        content = _content(model, Wish(name, symbols, head))
    else:
        name = str(model)
        content = foreign.read("mace", Wish(name, symbols, head))
    potential = imported(content, name).model
    assert isinstance(potential, Scaled)
    return potential


def save(potential: Scaled, path: Path, dtype: str = "float64") -> Path:
    """Write a potential as TorchScript with metadata.

    Args:
        potential: of `load`; its network is changed to `dtype`.
        path: of the archive.
        dtype: float32 or float64.

    Returns:
        The path.
    """
    potential.network.to(float_type(dtype))
    metadata.save(script(potential, "edges"), path, describe(potential, "edges"))
    return path


def is_mace(path: Path) -> bool:
    """Whether a file holds a model that MACE saved; nothing in it runs."""
    return any(name.startswith("mace.modules.") for name in foreign_names(path))


def import_mace() -> Any:
    """The package `mace`. What it changes in torch is undone afterwards."""
    from torchml.importers.reading.mace import import_mace

    return import_mace()


def _content(model: torch.nn.Module, wish: Wish) -> dict[str, Any]:
    """What the process that reads a file would write."""
    from torchml.importers.reading.handing_over import content_of
    from torchml.importers.reading.mace import source_of

    try:
        return content_of(source_of(model, wish), wish, foreign.radii())
    except ReadingError as error:
        raise ModelError(str(error)) from None
