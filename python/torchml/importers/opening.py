"""Opening a model: a checkpoint, a TorchScript archive, or a model of another package.

Reading a checkpoint or an archive runs no code that came with the file. A model of another package
is a pickle, which can run any code: it is read only where the caller names its kind.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch

from torchml.contract import metadata
from torchml.contract.keys import key_of_file
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.errors import FileError, ModelError
from torchml.importers.pickles import foreign_names
from torchml.models import EdgeModel, Scaled, describe, script
from torchml.models.archived import Archived
from torchml.models.base import float_type
from torchml.models.dtype import network_dtype
from torchml.models.staged import StagedModel
from torchml.models.summed import Sum, unfolded

# Kinds of pickles and the modules whose `load(path, species, head)` reads them.
_IMPORTERS = {"mace": "torchml.importers.mace.model"}
KINDS = tuple(_IMPORTERS)


@dataclass(frozen=True)
class Loaded:
    """A model as its file holds it.

    Attributes:
        path: the file.
        name: a KIM name that fits: class and elements, or the name of the file.
        model: the network in Python; None for a TorchScript archive.
        facts: the metadata of an archive.
        others: extra files of an archive that are not TorchML's, by name.
    """

    path: Path
    name: str
    model: EdgeModel | StagedModel | None = None
    facts: ModelMetadata = field(default_factory=ModelMetadata)
    others: Mapping[str, bytes] = field(default_factory=dict)


def load(
    path: str | Path,
    kind: str | None = None,
    species: Sequence[str] | None = None,
    head: str | None = None,
) -> Loaded:
    """Open a model.

    Args:
        path: checkpoint of a training, TorchScript archive, or model of another package.
        kind: the package whose pickle the file is, `mace`; it may run any code, so the file must
            come from a source that you trust. None for a checkpoint or an archive.
        species: chemical symbols of the elements that a model of another package keeps; None
            keeps all.
        head: which head of a model of another package with several; None takes its default.

    Returns:
        The network in Python, or the metadata of an archive, whose network is still on disk.

    Raises:
        TorchMLError: the file is damaged, or is a pickle whose kind is not given.
    """
    path = Path(path)
    if (model := _network_of(path, kind, species, head)) is not None:
        name = _name(model)
        return Loaded(path, name, unfolded(model) if isinstance(model, EdgeModel) else model)
    files = metadata.extra_files(path)
    return Loaded(
        path,
        kim_name(path.stem),
        facts=metadata.parse(files, path) or ModelMetadata(),
        others={k: text for k, text in files.items() if not key_of_file(k)},
    )


def scripted(
    loaded: Loaded, convention: str | None = None
) -> tuple[torch.jit.ScriptModule, ModelMetadata]:
    """The network of a checkpoint or of another package as TorchScript, and its metadata.

    Args:
        loaded: a model with a network in Python.
        convention: how the module is called; None is that of the network, mostly `edges`.
    """
    model = loaded.model
    if isinstance(model, StagedModel):
        return _scripted_staged(model, convention, loaded.path)
    assert model is not None
    convention = convention or model.convention
    return script(model, convention), describe(model, convention)


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
def opened(model: Path, kind: str | None = None) -> Iterator[Opened]:
    """The archive itself, or one made of a checkpoint that exists as long as the context.

    Args:
        model: as `path` of `load`.
        kind: as in `load`.

    Yields:
        The archive, in float64 where it is made here: simulations profit from exact derivatives.
    """
    network = _network_of(model, kind)
    if network is None:
        yield Opened(model)
        return
    if isinstance(network, EdgeModel):
        network = cast(unfolded(network), "float64")
    module, facts = scripted(Loaded(model, _name(network), network))
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"{_name(network)}.pt"
        metadata.save(module, archive, facts)
        yield Opened(archive, network)


def cast(model: EdgeModel, dtype: str) -> EdgeModel:
    """Change the float type of a network in place; the energies of the elements stay float64.

    The networks of archives keep their own.
    """
    if isinstance(model, Sum):
        for part in model.parts:
            cast(part.model, dtype)
            part.kind = part.kind.to(network_dtype(part.model))
        return model
    if isinstance(model, Archived):
        return model
    (model.network if isinstance(model, Scaled) else model).to(float_type(dtype))
    return model


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint, whole or damaged, rather than a TorchScript archive."""
    names = _members(path)
    return path.suffix == ".ckpt" or ("data.pkl" in names and "constants.pkl" not in names)


def kim_name(text: str) -> str:
    """A short KIM name like `text`: letters, digits and single underscores, a letter first."""
    name = "_".join(re.findall("[A-Za-z0-9]+", text))
    return name if name[:1].isalpha() else f"Model_{name}".rstrip("_")


def _network_of(
    path: Path,
    kind: str | None,
    species: Sequence[str] | None = None,
    head: str | None = None,
) -> EdgeModel | StagedModel | None:
    """The network in a file; None where that is an archive, or not there."""
    if kind is not None:
        return _import(path, kind, species, head)
    if path.suffix != ".ckpt":
        _refuse_pickle(path)
    if not is_checkpoint(path):
        return None
    from torchml.importers.checkpoint import load_model

    return load_model(path)


def _import(path: Path, kind: str, species: Sequence[str] | None, head: str | None) -> EdgeModel:
    if kind not in _IMPORTERS:
        raise FileError(f"the kind of {path} is '{kind}', expected {' | '.join(KINDS)}")
    if path.suffix == ".ckpt":
        raise FileError(
            f"{path} is named as a checkpoint, which is never read as a pickle of '{kind}'; "
            "expected another file name, or no kind"
        )
    potential: EdgeModel = import_module(_IMPORTERS[kind]).load(path, species, head)
    return potential


def _refuse_pickle(path: Path) -> None:
    """Refuse a pickle of another package: only the caller can decide to trust it."""
    # The pickles of TorchScript are read by torch without Python.
    if "constants.pkl" in _members(path) or not (names := foreign_names(path)):
        return
    for kind in KINDS:
        if own := next((name for name in names if name.startswith(f"{kind}.")), None):
            raise FileError(
                f"{path} is a pickle of {own}, which can run any code when it is read: if you "
                f"trust its source, name its kind with '--from {kind}' (in Python "
                f"torchml.importers.{kind}.load)"
            )
    raise FileError(
        f"{path} is a pickle that asks for {names[0]}, which could run any code, expected a "
        f"checkpoint, a TorchScript archive, or '--from {' | '.join(KINDS)}' for a model of that "
        "package whose source you trust"
    )


def _members(path: Path) -> set[str]:
    """Names of the files in a zip file, without their folders; none for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {Path(name).name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _name(model: EdgeModel | StagedModel) -> str:
    network = model.network if isinstance(model, (Scaled, StagedModel)) else model
    kind = getattr(network, "original_name", type(network).__name__)
    return kim_name(f"{kind}_{''.join(model.species)}")


def _scripted_staged(
    model: StagedModel, convention: str | None, path: Path
) -> tuple[torch.jit.ScriptModule, ModelMetadata]:
    """The network unchanged: it was written for staged graphs, and trained on symmetric ones."""
    from torchml.importers.checkpoint import script_network

    if convention not in (None, "graph"):
        raise ModelError(
            f"{path} holds a network that takes staged graphs: it cannot be exported for the "
            f"convention '{convention}', expected 'graph'"
        )
    with quiet_torchscript():
        network = torch.jit.load(io.BytesIO(script_network(model)), map_location="cpu")
    facts = ModelMetadata(
        convention="graph",
        species=tuple(model.species),
        cutoff=model.cutoff,
        layers=model.layers,
        species_input=model.species_input,
        stage_edges="symmetric",
    )
    return network, facts
