"""What is added to a potential at its export: a repulsion, a dispersion correction, another model.

`pair_style kim` cannot be a part of LAMMPS's `hybrid/overlay`: the sum is made inside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchml.contract.completion import complete, merge
from torchml.contract.metadata import ModelMetadata
from torchml.contract.operators import load_extensions
from torchml.contract.signature import SHELL_COUNTS, probe
from torchml.contract.torchscript import load_script
from torchml.errors import ModelError, TorchMLError
from torchml.importers.opening import Loaded, kim_name, load
from torchml.models.archived import Archived
from torchml.models.base import EdgeModel
from torchml.models.d3 import D3
from torchml.models.summed import Sum
from torchml.models.zbl import ZBL

FORMS = "zbl[:inner,outer] | d3:functional[,cutoff] | a file of a model"
# Names of the options of `d3:functional,...`; the first may be given without its name.
_OPTIONS = {"cutoff": "cutoff", "coordination": "coordination_cutoff", "smoothing": "smoothing"}


def added(
    loaded: Loaded, terms: Sequence[str], facts: ModelMetadata
) -> tuple[Loaded, ModelMetadata]:
    """Add terms to a potential.

    Args:
        loaded: the potential.
        terms: each zbl[:inner,outer], d3:functional[,cutoff] or the file of a second model;
            lengths in Å.
        facts: what the caller declares of the potential.

    Returns:
        The sum, and what the caller declares of the sum: convention and float type.

    Raises:
        TorchMLError: a term cannot be read, or the potential cannot be a part of a sum.
    """
    base = network_of(loaded, facts)
    parts = [base, *(_term(text, base.species) for text in terms)]
    total = Sum(parts)
    name = "_".join([loaded.name, *total.names[1:]])
    others = replace(loaded, name=name, model=total, facts=ModelMetadata())
    return others, ModelMetadata(convention=facts.convention, dtype=facts.dtype)


def network_of(loaded: Loaded, facts: ModelMetadata | None = None) -> EdgeModel:
    """Return the network of a model, or the archive as one.

    Args:
        loaded: the model.
        facts: what the caller declares of it, where an archive lacks metadata.

    Raises:
        TorchMLError: the model does not take edge vectors.
    """
    if isinstance(loaded.model, EdgeModel) and loaded.model.convention == "edges":
        return loaded.model
    if loaded.model is not None:
        raise ModelError(
            f"{loaded.path} does not take edge vectors, expected a model of the convention 'edges' "
            "as a part of a sum"
        )
    declared = facts or ModelMetadata()
    partial = merge((f"the metadata of {loaded.path}", loaded.facts), ("the caller", declared))
    signature = probe(loaded.path, partial.extensions or ())
    complete_facts = complete(partial, signature, loaded.path)
    load_extensions(partial.extensions or ())
    module = load_script(loaded.path).eval()
    try:
        return Archived(module, complete_facts, SHELL_COUNTS[0] in signature.arguments)
    except ModelError as error:
        raise ModelError(f"{loaded.path}: {error}") from None


def _term(text: str, species: list[str]) -> EdgeModel:
    """One term of a sum, for the elements of the potential."""
    kind, _, rest = text.partition(":")
    if kind == "zbl":
        return _zbl(text, rest, species)
    if kind == "d3":
        return _d3(text, rest, species)
    if not Path(text).is_file():
        raise TorchMLError(f"'{text}' is nothing that can be added, expected {FORMS}")
    model = network_of(load(text))
    model.label = kim_name(Path(text).stem)
    return model


def _zbl(text: str, rest: str, species: list[str]) -> ZBL:
    if not rest:
        return ZBL(species)
    lengths = [_length(word, text) for word in rest.split(",")]
    if len(lengths) != 2:
        raise TorchMLError(f"'{text}' has {len(lengths)} numbers, expected zbl:inner,outer (Å)")
    return ZBL(species, inner=lengths[0], outer=lengths[1])


def _d3(text: str, rest: str, species: list[str]) -> D3:
    functional, *words = rest.split(",")
    if not functional:
        raise TorchMLError(f"'{text}' names no functional, expected d3:functional such as d3:PBE")
    values: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, _, number = word.rpartition("=")
        name = name or ("cutoff" if place == 0 else "")
        if name not in _OPTIONS or _OPTIONS[name] in values:
            raise TorchMLError(
                f"'{word}' in '{text}' is not understood, expected "
                f"{', '.join(f'{one}=Å' for one in _OPTIONS)}, each once"
            )
        values[_OPTIONS[name]] = _length(number, text)
    return D3(species, functional, **values)


def _length(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise TorchMLError(f"'{word}' in '{text}' is no number, expected a length in Å") from None
