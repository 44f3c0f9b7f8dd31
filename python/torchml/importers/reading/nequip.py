"""NequIP and Allegro, in checkpoints and packages of nequip.

S. Batzner et al., Nat. Commun. 13, 2453 (2022); A. Musaelian et al., Nat. Commun. 14, 579 (2023);
C. W. Tan et al., arXiv:2504.16068.

Networks of torchml take the weights. A model with unusual parts is traced: nequip's modules take
edge vectors, from the centre, which is row 0 of nequip's edges, to the neighbour. The classes of a
package are copies of nequip's, so that modules are recognised by the names of their classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import allegro_network, nequip_network
from .elements import SYMBOLS
from .equivariant import sharpen
from .nequip_files import load
from .source import EnergyFunction, ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "nequip"
INSTALL = ("torch==2.13.0", "nequip==0.19.1", "nequip-allegro==0.8.3")
READS = "checkpoints and packages (.nequip.zip) of NequIP and Allegro"
WAY = "network"

# Modules that pass features between atoms; the others work on single atoms or single edges.
_MESSAGES = ("ConvNetLayer",)
_OF_EDGES = ("Allegro_Module", "EdgewiseReduce", "LennardJones", "SimpleLennardJones", "ZBL")
_LOCAL = (
    "AddRadialCutoffToData",
    "ApplyFactor",
    "AtomwiseReduce",
    "BesselEdgeLengthEncoding",
    "EdgeLengthNormalizer",
    "NodeTypeEmbed",
    "PerTypeScaleShift",
    "ProductTypeEmbedding",
    "ScalarMLP",
    "SphericalHarmonicEdgeAttrs",
    "TwoBodySphericalHarmonicTensorEmbed",
    "TwoBodySplineScalarEmbed",
)
# Modules that stay in float64 in a model of float32, as nequip builds them.
_DOUBLE = (
    "BesselEdgeLengthEncoding",
    "EdgeLengthNormalizer",
    "PerClassSpline",
    "PerTypeScaleShift",
    "ZBL",
)
_PREFACTOR = 0.5 * 14.399645  # of nequip's ZBL, in eV Å
_EDGE_KEYS = (
    "edge_vectors",
    "edge_lengths",
    "normed_edge_lengths",
    "edge_attrs",
    "edge_embedding",
    "edge_cutoff",
)
_NODE_KEYS = ("pos", "atom_types", "node_attrs", "node_features")


def open_model(wish: Wish) -> Source:
    """Open a checkpoint or a package of nequip.

    Args:
        wish: `head` names one of several models in the file, and gives the numbers of fields of
            the whole structure that the model takes, such as charge=0; separated by commas.
    """
    path = Path(wish.model)
    models, provenance, notes = load(path)
    name, given = _head(wish.head)
    model = _one(models, name, path).eval().requires_grad_(False)
    facts = model.metadata
    types = facts["type_names"].split(" ")
    species = _species_of(types, wish.species, path)
    own = facts["model_dtype"]
    parts = list(_parts(getattr(model.model, "func", model.model), path))
    _check_units(parts, path)
    fields = _fields(parts, given, path)
    kept = [types.index(name) for name in species.values()]
    cutoffs = _cutoffs(facts, len(types))[kept][:, kept]
    if bool((cutoffs != cutoffs.max()).any()):
        notes.append(f"cutoffs by centre and neighbour (Å): {_table(cutoffs, list(species))}")
    layers = max(1, sum(_kind(part) in _MESSAGES for part in parts))
    energies = _energies(parts, layers, kept, len(types), fields)

    _cast(model, torch.float64)
    for name, buffer in model.named_buffers():
        if re.search(r"_(w3j|tensor)_\w+$", name):
            sharpen(buffer)
    symbols = list(species)
    isolated = _lone_atoms(energies, symbols, layers, path)
    is_allegro = any(_kind(part) == "Allegro_Module" for part in parts)
    plan_of = allegro_network.network_of if is_allegro else nequip_network.network_of
    network = None
    try:
        network = plan_of(parts, symbols, kept, cutoffs, fields)
    except ReadingError as error:
        notes.append(f"nequip's own modules are traced, because of this model: {error}")
    # A network of torchml is made and compared in float64, from which others follow.
    dtype = "float64" if network else wish.dtype or own
    _cast(model, getattr(torch, dtype))
    return Source(
        species=symbols,
        cutoff=float(cutoffs.max()),
        layers=layers,
        dtypes=(dtype, "float32" if dtype == "float64" else "float64"),
        own_results=_calculator(model, species, fields),
        energies=None if network else energies,
        network=network,
        isolated=isolated,
        provenance=provenance
        | {
            "model": "Allegro" if is_allegro else "NequIP",
            "types": " ".join(f"{name}={symbol}" for symbol, name in species.items()),
            "own dtype": own,
            **{name: str(int(value)) for name, value in fields.items()},
        },
        notes=(
            *notes,
            "nequip's files name no units: the energies are taken as eV, the lengths as Å",
        ),
    )


def _head(text: str | None) -> tuple[str | None, dict[str, str]]:
    """The name of a model and the values of fields, of `--head`."""
    name, fields = None, {}
    for word in text.split(",") if text else []:
        key, sign, value = word.partition("=")
        if sign:
            fields[key] = value
        else:
            name = word
    return name, fields


def _one(models: Mapping[str, Any], name: str | None, path: Path) -> Any:
    """The model of that name, or the only one."""
    names = list(models.keys())
    if name is None and len(names) == 1:
        return models[names[0]]
    if name not in names:
        given = "the model is not named" if name is None else f"the model is '{name}'"
        raise ReadingError(f"{path}: {given}, expected --head {' | '.join(names)}")
    return models[name]


def _species_of(types: Sequence[str], wished: Sequence[str] | None, path: Path) -> dict[str, str]:
    """The names of the kept types by their chemical symbols."""
    if all(name in SYMBOLS[1:] for name in types):
        if unknown := [symbol for symbol in wished or () if symbol not in types]:
            raise ReadingError(
                f"{path} has no type {unknown[0]}, expected species of {' '.join(types)}"
            )
        return {symbol: symbol for symbol in wished or types}
    if wished is None or len(wished) != len(types):
        raise ReadingError(
            f"{path}: the types {' '.join(types)} are not all chemical symbols, expected the "
            f"element of each in this order, {len(types)} symbols after --species"
        )
    if len(set(wished)) < len(wished):
        raise ReadingError(
            f"{path}: two of the types {' '.join(types)} would be one element, expected a model "
            "whose types differ by their element: a simulator has no other types"
        )
    return dict(zip(wished, types, strict=True))


def _cast(model: Any, dtype: torch.dtype) -> None:
    """Compute in another float type; what nequip always has in float64 stays so."""
    double = {m for part in model.modules() if _kind(part) in _DOUBLE for m in part.modules()}
    for module in model.modules():
        for name in ("_output_dtype", "model_dtype"):
            if hasattr(module, name):
                setattr(module, name, dtype)
        if module in double:
            continue
        # New tensors: those of a view would keep the float type of its base.
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                module._buffers[name] = buffer.to(dtype).clone()
        for name, weight in module._parameters.items():
            if weight is not None and weight.is_floating_point():
                module._parameters[name] = torch.nn.Parameter(
                    weight.to(dtype), weight.requires_grad
                )


def _kind(module: Any) -> str:
    return type(module).__name__


def _parts(module: Any, path: Path) -> Iterator[Any]:
    """The modules that a sequence calls one after the other."""
    if _kind(module) == "SequentialGraphNetwork":
        for one in module.children():
            yield from _parts(one, path)
        return
    if _kind(module) not in (*_MESSAGES, *_OF_EDGES, *_LOCAL):
        raise ReadingError(
            f"{path} has the part '{_kind(module)}', whose reach is not known, expected the parts "
            "of NequIP and Allegro alone"
        )
    yield module


def _check_units(parts: Sequence[Any], path: Path) -> None:
    for part in parts:
        if _kind(part) == "ZBL":
            prefactor = float(part._qqr2exesquare)
            if abs(prefactor / _PREFACTOR - 1.0) > 1e-6:
                raise ReadingError(
                    f"{path}: the ZBL potential is not in eV and Å (its prefactor is {prefactor}, "
                    f"not {_PREFACTOR}), so neither is the model, expected one of the units 'metal'"
                )


def _fields(parts: Sequence[Any], given: Mapping[str, str], path: Path) -> dict[str, Tensor]:
    """The numbers that hold for a whole structure, such as its charge, and select an embedding."""
    wanted = {}
    for part in parts:
        embeddings = getattr(part, "categorical_graph_field_embed_modules", {})
        for name, embedding in embeddings.items():
            least = part.categorical_graph_field_embed_shifts[name]
            wanted[name] = range(least, least + embedding.num_embeddings)
    texts = [f"{name}={one[0]}...{one[-1]}" for name, one in wanted.items()]
    fields = {name: int(value) for name, value in given.items() if value.lstrip("-").isdigit()}
    if fields.keys() != given.keys() or fields.keys() != wanted.keys():
        raise ReadingError(
            f"{path} takes {', '.join(wanted) or 'no fields of a whole structure'}, but the head "
            f"names {', '.join(given) or 'none'}, expected "
            f"{'--head ' + ','.join(texts) if texts else 'none'}"
        )
    for name, value in fields.items():
        if value not in wanted[name]:
            raise ReadingError(f"{path}: {name} is {value}, expected --head {','.join(texts)}")
    return {name: torch.tensor([value]) for name, value in fields.items()}


def _cutoffs(facts: Mapping[str, str], types: int) -> Tensor:
    """Row of the centre, column of the neighbour (Å)."""
    text = facts.get("per_edge_type_cutoff") or facts["r_max"]
    values = torch.tensor([float(value) for value in text.split()], dtype=torch.float64)
    return values.expand(types**2).view(types, types)


def _table(cutoffs: Tensor, symbols: Sequence[str]) -> str:
    return ", ".join(
        f"{one} {other} {float(cutoffs[a, b]):g}"
        for a, one in enumerate(symbols)
        for b, other in enumerate(symbols)
    )


def _energies(
    parts: Sequence[Any],
    layers: int,
    kept: Sequence[int],
    types: int,
    fields: Mapping[str, Tensor],
) -> EnergyFunction:
    """The energies as the parts compute them, in float64, with scales and shifts."""
    type_of = None if list(kept) == list(range(types)) else torch.tensor(kept)

    def energies(
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        vectors = edge_vectors.to(torch.float64)
        data = {
            "atom_types": species if type_of is None else type_of.index_select(0, species),
            "edge_index": edge_index.flip(0),
            "edge_vectors": vectors,
            "pos": vectors.new_zeros([species.size(0), 3]),
            **fields,
        }
        shell = layers
        for part in parts:
            if _kind(part) in _MESSAGES:
                if shell < layers:
                    _restrict(data, node_counts[shell], edge_counts[shell - 1])
                shell -= 1
            data = part(data)
        found: Tensor = data["atomic_energy"].squeeze(1)
        return torch.nn.functional.pad(found, [0, species.size(0) - found.size(0)])

    return energies


def _restrict(data: dict[str, Tensor], nodes: int, edges: int) -> None:
    """Leave out nodes and edges that the following layers do not need."""
    for key in ("feature_norm_factor", "edge_type_flat"):  # which nequip then makes again
        data.pop(key, None)
    data["edge_index"] = data["edge_index"][:, :edges].contiguous()
    for key in _EDGE_KEYS:
        if key in data:
            data[key] = data[key][:edges]
    for key in _NODE_KEYS:
        data[key] = data[key][:nodes]


def _lone_atoms(
    energies: EnergyFunction, symbols: Sequence[str], layers: int, path: Path
) -> dict[str, float]:
    """Energies of atoms without neighbours (eV)."""
    count = len(symbols)
    nothing = torch.zeros(0, 3, dtype=torch.float64)
    edges = torch.zeros(2, 0, dtype=torch.int64)
    nodes = [count] * (layers + 1)
    try:
        found = energies(torch.arange(count), nothing, edges, nodes, [0] * layers)
    except Exception as error:  # whatever the modules of another version raise
        raise ReadingError(
            f"{path}: nequip's own modules stop at lone atoms ({first_line(error)})"
        ) from error
    return dict(zip(symbols, found.tolist(), strict=True))


class _Fields(torch.nn.Module):
    """Adds the numbers that hold for a whole structure to nequip's data."""

    def __init__(self, fields: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.fields = dict(fields)

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        return data | {name: value.view(1, 1) for name, value in self.fields.items()}


def _calculator(
    model: Any, species: Mapping[str, str], fields: Mapping[str, Tensor]
) -> Callable[[Structure], Results]:
    """nequip's ASE calculator, with nequip's own neighbour list."""
    if hasattr(model.model, "do_derivatives"):
        model.model.do_derivatives = True
    facts = model.metadata
    transforms = import_module("nequip.integrations.utils").basic_transforms(
        facts,
        float(facts["r_max"]),
        facts["type_names"].split(" "),
        dict(species),
    )
    calculator = import_module("nequip.ase").NequIPCalculator(
        model, "cpu", transforms=[_Fields(fields), *transforms]
    )

    def own_results(structure: Structure) -> Results:
        atoms = import_module("ase").Atoms(
            structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc
        )
        atoms.calc = calculator
        return Results(
            energy=float(atoms.get_potential_energy()),
            forces=atoms.get_forces(),
            stress=atoms.get_stress() if all(structure.pbc) else None,
            energies=atoms.get_potential_energies(),
        )

    return own_results
