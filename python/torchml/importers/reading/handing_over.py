"""A model as plain values for another process: its facts, its network or graph, its results.

A function of energies is handed over as a graph of torch operations or, where tracing stops, as
TorchScript. Either is compared here with the function itself at other sizes than the one it was
traced with, and with edges left out as at the border of a domain.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .edges import edges_of, results_of
from .graph import graph_of, lengths_stay_free
from .replay import replayed
from .source import ReadingError, Results, Source, Structure, Wish, first_line
from .structures import structures_of

VERSION = 1
Sample = tuple[Tensor, Tensor, Tensor]
Function = Callable[..., Tensor]


def content_of(source: Source, wish: Wish, radii: Mapping[str, float]) -> dict[str, Any]:
    """What a process that reads a model writes: plain values and tensors.

    Args:
        source: the model.
        wish: what the user wants of it.
        radii: covalent radii (Å) by symbol, for the structures.

    Raises:
        ReadingError: the model can be handed over in no way.
    """
    structures = structures_of(source.species, source.cutoff, radii)
    dtype = wish.dtype or source.dtypes[0]
    own = source.own_results or _derivatives(source, dtype)
    exact = source.exact_results if dtype == "float64" else None
    if source.energies is not None and dtype not in source.dtypes:
        raise ReadingError(
            f"{wish.model} runs in {' | '.join(source.dtypes)}, but dtype is '{dtype}'"
        )
    content: dict[str, Any] = {
        "version": VERSION,
        "species": list(source.species),
        "cutoff": float(source.cutoff),
        "layers": int(source.layers),
        "dtype": dtype,
        "isolated": {key: float(value) for key, value in source.isolated.items()},
        "provenance": {key: str(value) for key, value in source.provenance.items()},
        "tolerance": dict(source.tolerance),
        "notes": [str(note) for note in source.notes],
        "results": [_results(exact or own, name, one) for name, one in structures.items()],
        "rounded": [_results(own, name, one) for name, one in structures.items() if exact],
        "results_dtype": "float32" if "float32" in (dtype, source.dtypes[0]) else "float64",
        "calculator": source.own_results is not None,
    }
    if source.network is not None:
        return content | {"network": dict(source.network)}
    return content | energies_of(source, samples_of(source, structures, dtype), wish.model)


def samples_of(source: Source, structures: Mapping[str, Structure], dtype: str) -> list[Sample]:
    """Species, edge vectors and edge index of each structure, the largest first."""
    kind = getattr(torch, dtype)
    samples = [_sample(source, structure, kind) for structure in structures.values()]
    return sorted(samples, key=lambda sample: -sample[2].size(1))


def _sample(source: Source, structure: Structure, kind: torch.dtype) -> Sample:
    vectors, index = edges_of(structure, source.cutoff)
    codes = torch.tensor([source.species.index(one) for one in structure.symbols])
    return codes, vectors.to(kind), index


def energies_of(source: Source, samples: list[Sample], name: str) -> dict[str, Any]:
    """The energies as a graph or as TorchScript, whichever computes the same as the function."""
    function, reasons = _function(source), []
    if (shape := function(*samples[0]).shape) != samples[0][0].shape:
        raise ReadingError(
            f"the energies of {name} have the shape {list(shape)}, expected one of each of "
            f"{len(samples[0][0])} atoms"
        )
    for way in (_as_graph, _as_traced_script, _as_script):
        try:
            content, made = way(function, source, samples)
            _compare(function, made, samples)
            return content
        except ReadingError as error:
            reasons.append(f"{way.__name__.removeprefix('_as_').replace('_', ' ')}: {error}")
    raise ReadingError(
        f"the energies of {name} can be handed over neither as a graph of torch operations nor as "
        f"TorchScript: {'; '.join(reasons)}"
    )


def _function(source: Source) -> Function:
    """The energies as a function of tensors alone: all layers work on all atoms."""
    energies = source.energies
    assert energies is not None

    def function(species: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        nodes, edges = species.size(0), vectors.size(0)
        return energies(
            species, vectors, index, [nodes] * (source.layers + 1), [edges] * source.layers
        )

    return function


def _as_graph(
    function: Function, _: Source, samples: list[Sample]
) -> tuple[dict[str, Any], Function]:
    graph = graph_of(function, samples[0])
    return {"graph": graph}, replayed(graph)


def _as_traced_script(
    function: Function, _: Source, samples: list[Sample]
) -> tuple[dict[str, Any], Function]:
    with torch.no_grad(), lengths_stay_free(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(function, samples[0], check_trace=False)
        except Exception as error:  # whatever the package raises in a trace
            raise ReadingError(f"it cannot be traced ({first_line(error)})") from None
    return _bytes_of(traced, counts=False), traced


def _as_script(
    function: Function, source: Source, samples: list[Sample]
) -> tuple[dict[str, Any], Function]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scripted: Any = torch.jit.script(source.energies)
            content = _bytes_of(scripted, counts=True)
        except Exception as error:  # a part of Python that TorchScript does not have
            raise ReadingError(f"it cannot be scripted ({first_line(error)})") from None

    def called(species: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        nodes, edges = species.size(0), vectors.size(0)
        counts = [nodes] * (source.layers + 1), [edges] * source.layers
        result: Tensor = scripted(species, vectors, index, *counts)
        return result

    return content, called


def _bytes_of(script: Any, counts: bool) -> dict[str, Any]:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(script, stream)
    return {"torchscript": stream.getvalue(), "counts": counts}


def _compare(function: Function, made: Function, samples: list[Sample]) -> None:
    """Refuse what computes something else, at any size, or needs edges that were left out."""
    for sample in [*samples, *(_without_edges(one) for one in samples)]:
        with torch.no_grad():
            expected = function(*sample)
            try:
                found = made(*sample)
            except Exception as error:  # a size that has become a constant
                raise ReadingError(
                    f"it stops at {len(sample[0])} atoms and {len(sample[1])} edges "
                    f"({first_line(error)})"
                ) from None
        limit = 1e-10 if sample[1].dtype == torch.float64 else 1e-5
        scale = expected.abs().max().clamp(min=1.0)
        error_of = float((found - expected).abs().max() / scale)
        if not error_of < limit:
            raise ReadingError(
                f"at {len(sample[0])} atoms and {len(sample[1])} edges its energies differ by "
                f"{error_of:.1e}, because it computes differently at other sizes"
            )


def _without_edges(sample: Sample) -> Sample:
    """Without the edges into the second half of the atoms, as into those of the last shell."""
    species, vectors, index = sample
    kept = index[1] < (len(species) + 1) // 2
    return species, vectors[kept], index[:, kept]


def _results(
    results: Callable[[Structure], Results], name: str, structure: Structure
) -> dict[str, Any]:
    """A structure and what the package computes of it."""
    try:
        own = results(structure)
    except ReadingError:
        raise
    except Exception as error:  # whatever the package's calculator raises
        raise ReadingError(
            f"its own calculator stops for the {name} of {' '.join(structure.symbols)} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
    # Packages choose a cell, and so a volume, of their own where a structure is not periodic.
    stress = own.stress if all(structure.pbc) else None
    values = {"forces": own.forces, "stress": stress, "energies": own.energies}
    return {
        "name": name,
        "symbols": list(structure.symbols),
        "positions": torch.as_tensor(structure.positions, dtype=torch.float64),
        "cell": torch.as_tensor(structure.cell, dtype=torch.float64),
        "pbc": [bool(one) for one in structure.pbc],
        "energy": float(own.energy),
        **{
            key: None if value is None else torch.as_tensor(value, dtype=torch.float64)
            for key, value in values.items()
        },
    }


def _derivatives(source: Source, dtype: str) -> Callable[[Structure], Results]:
    """The energies of a model without a calculator, and their derivatives."""

    def results(structure: Structure) -> Results:
        species, vectors, index = _sample(source, structure, getattr(torch, dtype))
        energies = _function(source)(species, vectors.requires_grad_(), index)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        return results_of(structure, energies, vectors.detach(), index, gradient)

    return results
