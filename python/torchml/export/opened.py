"""A model as a file for the engine, which exists as long as it is used.

A network in Python becomes TorchScript, within a second. One that torch.jit.script refuses, or each
where TORCHML_FORMAT is `aoti`, is compiled ahead of time without TorchScript, within a minute.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata
from torchml.errors import ModelError, TorchMLError
from torchml.export.forms import format_of_environment
from torchml.importers.opening import (
    Foreign,
    Loaded,
    NoTorchScript,
    cast,
    load,
    load_checkpoint,
    scripted,
)
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel

_LOG = logging.getLogger("torchml.export")


@dataclass(frozen=True)
class Opened:
    """A model as a file for the engine.

    Attributes:
        archive: TorchScript or compiled, with metadata where it comes from a checkpoint.
        trained: the network in Python; None for an archive.
    """

    archive: Path
    trained: EdgeModel | StagedModel | None = None


@contextmanager
def opened(
    model: str | Path,
    kind: str | None = None,
    *,
    foreign: Foreign | None = None,
    device: str = "cpu",
) -> Iterator[Opened]:
    """The archive itself, or one made of a checkpoint that exists as long as the context.

    Args:
        model: as `path` of `torchml.importers.opening.load`.
        kind: as there.
        foreign: as there.
        device: "cpu", "cuda" or "cuda:K", for which an archive is compiled.

    Yields:
        The archive, in float64 where it is made here: simulations profit from exact derivatives.

    Raises:
        TorchMLError: the model cannot be read, or it can become neither TorchScript nor a compiled
            archive.
    """
    if foreign is None and kind is not None:
        foreign = Foreign(kind)
    loaded = load(model, foreign=foreign) if foreign else load_checkpoint(Path(model))
    if loaded is None:
        yield Opened(Path(model))
        return
    dtype = (foreign.dtype if foreign else None) or "float64"
    if isinstance(loaded.model, EdgeModel):
        cast(loaded.model, dtype)
    with tempfile.TemporaryDirectory() as scratch:
        yield Opened(_archive(loaded, dtype, device, Path(scratch)), loaded.model)


def _archive(loaded: Loaded, dtype: str, device: str, folder: Path) -> Path:
    """Write the network as TorchScript, or what takes its place."""
    can_compile = isinstance(loaded.model, EdgeModel)
    if can_compile and format_of_environment() == "aoti":
        return _compiled(loaded, dtype, device, folder)
    try:
        module, facts = scripted(loaded)
    except NoTorchScript as refusal:
        if not can_compile:
            raise
        _LOG.warning("%s; it is compiled ahead of time, which can take minutes", refusal)
        try:
            return _compiled(loaded, dtype, device, folder)
        except TorchMLError as error:
            raise ModelError(f"{refusal}, and {error}") from None
    archive = folder / f"{loaded.name}.pt"
    metadata.save(module, archive, facts)
    return archive


def _compiled(loaded: Loaded, dtype: str, device: str, folder: Path) -> Path:
    """Compile energy and derivative of the network, as an export with `--format aoti`."""
    from torchml.export.aoti.compilation import compile_module
    from torchml.export.prepare import prepare

    prepared = prepare(loaded, ModelMetadata(dtype=dtype), scripting=False)
    archive = folder / f"{loaded.name}.pt2"
    compile_module(
        prepared.module,
        prepared.facts,
        archive,
        name=loaded.name,
        device=device.partition(":")[0],
        network=prepared.network,
    )
    return archive
