"""A checkpoint as the TorchScript archive that simulators take."""

from __future__ import annotations

import copy
import io
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.errors import TorchMLError
from torchml.export.accuracy import Difference, Tolerance, compress_within
from torchml.export.compression import Compression
from torchml.importers.mace import model as mace
from torchml.models import EdgeModel, Scaled, describe, script
from torchml.models.base import float_type
from torchml.models.staged import StagedModel


@dataclass(frozen=True)
class Source:
    """A model on its way to a simulator.

    Attributes:
        archive: TorchScript, with metadata where it comes from a checkpoint.
        name: a KIM name that fits: the class and the elements, or the name of the file.
        trained: the model of the checkpoint.
        exact: the same in float64, where the archive is of float32.
        compressed: the model with splines that is in the archive, in its float type, and what
            they change in float64.
    """

    archive: Path
    name: str
    trained: EdgeModel | StagedModel | None = None
    exact: EdgeModel | None = None
    compressed: tuple[Compression, Difference] | None = None


@contextmanager
def opened(
    model: Path,
    convention: str | None = None,
    dtype: str | None = None,
    tolerance: Tolerance | None = None,
    species: Sequence[str] | None = None,
) -> Iterator[Source]:
    """The archive itself, or one made of a checkpoint, or of a model of MACE, for the time being.

    `convention` is the one for which a checkpoint is scripted; that of its model, mostly `edges`,
    where nothing is said.
    `dtype` is that of its network: float64 where nothing is said, whatever it was trained in,
    because simulations profit from exact derivatives and training does not.
    With a tolerance, splines take the place of the radial functions of a checkpoint.
    `species` are those that a model of MACE shall keep: all where nothing is said.
    """
    if not is_checkpoint(model):
        if tolerance:
            raise TorchMLError(
                f"{model} is a TorchScript archive, whose radial functions nothing tells; expected "
                "a checkpoint to compress"
            )
        yield Source(model, kim_name(model.stem))
        return
    trained: EdgeModel | StagedModel
    if mace.is_mace(model):
        trained = mace.load(model, species)
    else:
        from torchml.importers.checkpoint import load_model

        trained = load_model(model)
    name = _name(trained)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{name}.pt"
        exact, compressed = None, None
        if isinstance(trained, StagedModel):
            if tolerance:
                raise TorchMLError(
                    f"{model} holds a network that takes staged graphs, whose radial functions "
                    "nothing tells; expected a model of torchml.models to compress"
                )
            _save_staged(trained, archive, convention, model)
        else:
            convention = convention or trained.convention
            _network(trained).to(torch.float64)
            if dtype == "float32":
                exact = copy.deepcopy(trained)
            if tolerance:
                compressed = compress_within(trained, tolerance)
            exported = compressed[0].model if compressed else trained
            _network(exported).to(float_type(dtype or "float64"))
            _network(trained).to(float_type(dtype or "float64"))
            metadata.save(script(exported, convention), archive, describe(exported, convention))
        yield Source(archive, name, trained, exact, compressed)


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint, whole or not, rather than a TorchScript archive."""
    if path.suffix == ".ckpt":
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return "data.pkl" in names and "constants.pkl" not in names


def kim_name(text: str) -> str:
    """A short KIM name like `text`: letters, digits and single underscores, a letter first."""
    name = "_".join(re.findall("[A-Za-z0-9]+", text))
    return name if name[:1].isalpha() else f"Model_{name}".rstrip("_")


def _network(model: EdgeModel) -> torch.nn.Module:
    return model.network if isinstance(model, Scaled) else model


def _name(trained: EdgeModel | StagedModel) -> str:
    network = trained.network if isinstance(trained, (Scaled, StagedModel)) else trained
    kind = getattr(network, "original_name", type(network).__name__)
    return kim_name(f"{kind}_{''.join(trained.species)}")


def _save_staged(
    trained: StagedModel, archive: Path, convention: str | None, checkpoint: Path
) -> None:
    """The network as it is: it was written for staged graphs, and trained on symmetric ones."""
    from torchml.importers.checkpoint import script_network

    if convention not in (None, "graph"):
        raise TorchMLError(
            f"{checkpoint} holds a network that takes staged graphs: it cannot be exported for the "
            f"convention '{convention}', expected 'graph'"
        )
    with quiet_torchscript():
        network = torch.jit.load(io.BytesIO(script_network(trained)), map_location="cpu")
    facts = ModelMetadata(
        convention="graph",
        species=tuple(trained.species),
        cutoff=trained.cutoff,
        layers=trained.layers,
        species_input=trained.species_input,
        stage_edges="symmetric",
    )
    metadata.save(network, archive, facts)
