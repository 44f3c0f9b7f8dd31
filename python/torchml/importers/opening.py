"""Opening a model: a checkpoint, a TorchScript archive, or a model of another package.

Reading a checkpoint or an archive runs no code that came with the file. A model of another package
is a pickle, which can run any code: it is read only where the caller names its kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from torchml.contract import metadata
from torchml.contract.archives import member_names
from torchml.contract.keys import key_of_file
from torchml.contract.metadata import ModelMetadata
from torchml.contract.torchscript import load_script
from torchml.errors import FileError, ModelError, TorchMLError
from torchml.importers.adapters import adapters, expected_kinds, kind_of, kind_of_texts
from torchml.importers.foreign import read
from torchml.importers.imported import Imported, imported
from torchml.importers.pickles import foreign_names, texts_of
from torchml.importers.reading.source import Wish, first_line
from torchml.importers.traced import Traced
from torchml.models import EdgeModel, Scaled, describe, script
from torchml.models.archived import Archived
from torchml.models.base import float_type
from torchml.models.committee import Committee
from torchml.models.dtype import network_dtype
from torchml.models.posterior import Posterior
from torchml.models.staged import StagedModel
from torchml.models.summed import Sum, unfolded

_MOST_ELEMENTS = 6  # in a name
_OF_PACKAGE = "extern_modules"  # a member of each file that torch.package writes


@dataclass(frozen=True)
class Foreign:
    """How a model of another package is read.

    Attributes:
        kind: the package, one of `torchml importers`, or FILE.py:function. Reading may run any
            code that came with the model, so it must come from a source that you trust.
        species: chemical symbols of the elements to keep; None keeps all.
        head: head, modality or fidelity of a model with several.
        dtype: float32 or float64, where the package's own code is traced; None is the model's own.
        python: the Python of an environment with torch and the package; None is this one.
        cutoff: for an adapter file without one (Å).
        layers: for an adapter file without them.
    """

    kind: str
    species: Sequence[str] | None = None
    head: str | None = None
    dtype: str | None = None
    python: str | Path | None = None
    cutoff: float | None = None
    layers: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A model as its file holds it.

    Attributes:
        path: the file.
        name: a KIM name that fits: class and elements, or the name of the file.
        model: the network in Python; None for a TorchScript archive.
        facts: the metadata of an archive.
        others: extra files of an archive that are not TorchML's, by name.
        origin: of a model of another package, what is known of it.
    """

    path: Path
    name: str
    model: EdgeModel | StagedModel | None = None
    facts: ModelMetadata = field(default_factory=ModelMetadata)
    others: Mapping[str, bytes] = field(default_factory=dict)
    origin: Imported | None = None


def load(
    path: str | Path,
    kind: str | None = None,
    species: Sequence[str] | None = None,
    head: str | None = None,
    *,
    foreign: Foreign | None = None,
) -> Loaded:
    """Open a model.

    Args:
        path: checkpoint of a training, TorchScript archive, or model of another package: a file, or
            a name that the package knows.
        kind: short for `Foreign(kind, species, head)`.
        species: as `kind`.
        head: as `kind`.
        foreign: how a model of another package is read; None for a checkpoint or an archive.

    Returns:
        The network in Python, or the metadata of an archive, whose network is still on disk.

    Raises:
        TorchMLError: the file is damaged, or is a pickle whose kind is not given.
    """
    if foreign is None and kind is not None:
        foreign = Foreign(kind, species, head)
    if foreign is not None:
        return _import(str(path), foreign)
    path = Path(path)
    if (checkpoint := load_checkpoint(path)) is not None:
        return checkpoint
    files = metadata.extra_files(path)
    return Loaded(
        path,
        kim_name(path.stem),
        facts=metadata.parse(files, path) or ModelMetadata(),
        others={k: text for k, text in files.items() if not key_of_file(k)},
    )


def load_checkpoint(path: Path) -> Loaded | None:
    """Return the network in a checkpoint; None where the file is an archive, or not there.

    Raises:
        TorchMLError: the file is damaged, or a pickle of another package.
    """
    if path.suffix != ".ckpt":
        _refuse_pickle(path)
    if not is_checkpoint(path):
        return None
    from torchml.importers.checkpoint import load_model

    model = load_model(path)
    name = _name(model)
    return Loaded(path, name, unfolded(model) if isinstance(model, EdgeModel) else model)


class NoTorchScript(ModelError):
    """TorchScript cannot compile a network."""


def scripted(
    loaded: Loaded, convention: str | None = None
) -> tuple[torch.jit.ScriptModule, ModelMetadata]:
    """The network of a checkpoint or of another package as TorchScript, and its metadata.

    Args:
        loaded: a model with a network in Python.
        convention: how the module is called; None is that of the network, mostly `edges`.

    Raises:
        NoTorchScript: torch.jit.script refuses the network.
    """
    model = loaded.model
    assert model is not None
    try:
        if isinstance(model, StagedModel):
            return _scripted_staged(model, convention, loaded.path)
        convention = convention or model.convention
        return script(model, convention), describe(model, convention)
    except TorchMLError:
        raise
    except Exception as error:  # of torch: many kinds, and others where Python is too new
        name = type(model).__name__
        raise NoTorchScript(f"{name} cannot become TorchScript ({first_line(error)})") from error


def cast(model: EdgeModel, dtype: str) -> EdgeModel:
    """Change the float type of a network in place; the energies of the elements stay float64.

    That of a traced model, and of the networks of archives, stays.
    """
    if isinstance(model, Sum | Committee):
        for part in model.parts:
            cast(part.model, dtype)
            part.unit = part.unit.to(network_dtype(part.model))
        return model
    if isinstance(model, Archived):
        return model
    (model.network if isinstance(model, Scaled) else model).to(float_type(dtype))
    return model


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint, whole or damaged, rather than a TorchScript archive."""
    names = member_names(path)
    return path.suffix == ".ckpt" or ("data.pkl" in names and "constants.pkl" not in names)


def kim_name(text: str) -> str:
    """A short KIM name like `text`: letters, digits and single underscores, a letter first."""
    name = "_".join(re.findall("[A-Za-z0-9]+", text))
    return name if name[:1].isalpha() else f"Model_{name}".rstrip("_")


def _import(model: str, foreign: Foreign) -> Loaded:
    """A model of another package, once it has given the package's own results."""
    if (path := Path(model)).is_file() and is_ours(path):
        raise FileError(
            f"{path} is a checkpoint of a training of TorchML, not a model of '{foreign.kind}'; "
            "expected no kind with it"
        )
    wish = Wish(model, foreign.species and list(foreign.species), foreign.head, foreign.dtype)
    content = read(foreign.kind, wish, foreign.python, foreign.cutoff, foreign.layers)
    found = imported(content, model)
    return Loaded(path, _name(found.model, foreign.kind), found.model, origin=found)


def is_ours(path: Path) -> bool:
    """Whether a file is a checkpoint of a training of this package."""
    return is_checkpoint(path) and not foreign_names(path) and "torchml" in texts_of(path)


def _refuse_pickle(path: Path) -> None:
    """Refuse a pickle of another package: only the caller can decide to trust it."""
    if _OF_PACKAGE in (members := member_names(path)):
        raise FileError(
            f"{path} is a torch.package, whose own code runs when it is read: if you trust its "
            "source, export it with '--from nequip' (in Python source='nequip')"
        )
    # The pickles of TorchScript are read by torch without Python.
    if "constants.pkl" in members or is_ours(path):
        return
    names = foreign_names(path)
    if known := kind_of(names):
        name, kind = known
        raise FileError(
            f"{path} is a pickle of {name}, which can run any code when it is read: if you trust "
            f"its source, export it with '--from {kind}' (in Python source='{kind}')"
        )
    if marked := kind_of_texts(texts_of(path)):
        raise FileError(
            f"{path} is a checkpoint of {adapters()[marked].module}: if you trust its source, "
            f"export it with '--from {marked}' (in Python source='{marked}')"
        )
    if not names:
        return
    raise FileError(
        f"{path} is a pickle that asks for {names[0]}, which could run any code, expected a "
        f"checkpoint, a TorchScript archive, or '--from {expected_kinds()}' for a model of that "
        "package whose source you trust"
    )


def _name(model: EdgeModel | StagedModel, kind: str | None = None) -> str:
    """Name of the adapter, class, or kind of a traced model; and elements, or their number."""
    network = model.network if isinstance(model, (Scaled, StagedModel)) else model
    network = network.network if isinstance(network, Posterior) else network
    name = getattr(network, "original_name", type(network).__name__)
    if kind in adapters() and adapters()[kind].name:
        name = adapters()[kind].name
    elif kind is not None and isinstance(network, Traced):
        name = Path(kind.rpartition(":")[0]).stem or kind
    symbols = model.species
    elements = "".join(symbols) if len(symbols) <= _MOST_ELEMENTS else f"{len(symbols)}_elements"
    return kim_name(f"{name}_{elements}")


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
    network = load_script(script_network(model))
    facts = ModelMetadata(
        convention="graph",
        species=tuple(model.species),
        cutoff=model.cutoff,
        layers=model.layers,
        species_input=model.species_input,
        stage_edges="symmetric",
    )
    return network, facts
