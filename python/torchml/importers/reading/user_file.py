"""A model of anybody's own: a function of five lines in a file, `--from FILE.py:function`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .source import ReadingError, Source, Wish, first_line


def open_model(
    kind: str, wish: Wish, cutoff: float | None = None, layers: int | None = None
) -> Source:
    """The model of a file of the user's.

    The file has a function `energies(model, species, edge_vectors, edge_index)`, whose arguments
    are those of `EnergyFunction`. It may have a function `load(path)`, which returns the model
    (else it is what torch.save or torch.jit.save wrote), and the values `species`, `cutoff` (Å) and
    `layers`.

    Args:
        kind: FILE.py:function.
        wish: what the user wants.
        cutoff: instead of the file's.
        layers: instead of the file's.
    """
    file, _, name = kind.rpartition(":")
    module = _module(Path(file))
    function = getattr(module, name, None)
    if not callable(function):
        raise ReadingError(f"{file} has no function '{name}', expected {_SIGNATURE.format(name)}")
    known = _fact(module, kind, "species", wish.species if _lacks(module, "species") else None)
    known = known.split() if isinstance(known, str) else list(known)
    wanted = list(wish.species or known)
    if unknown := [symbol for symbol in wanted if symbol not in known]:
        raise ReadingError(f"{kind} has no {' '.join(unknown)}, expected some of {' '.join(known)}")
    codes = torch.tensor([known.index(symbol) for symbol in wanted])
    model = getattr(module, "load", _load)(wish.model)
    dtype = wish.dtype or _dtype_of(model)
    if isinstance(model, torch.nn.Module):
        model = model.cpu().eval().requires_grad_(False).to(getattr(torch, dtype))

    def energies(
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        result: Tensor = function(model, codes[species], edge_vectors, edge_index)
        return result

    return Source(
        species=wanted,
        cutoff=float(_fact(module, kind, "cutoff", cutoff)),
        layers=int(_fact(module, kind, "layers", layers)),
        dtypes=(dtype,),
        own_results=None,
        energies=energies,
        provenance={"adapter": Path(file).name, "model": Path(wish.model).name},
    )


_SIGNATURE = "def {}(model, species, edge_vectors, edge_index)"


def _module(file: Path) -> Any:
    """The file as a module; it may import others beside it."""
    if not file.is_file():
        raise ReadingError(
            f"{file}: no such file, expected one with {_SIGNATURE.format('energies')}"
        )
    sys.path.insert(0, str(file.parent.resolve()))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # pickles name their classes so
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever stands in the file
        raise ReadingError(f"{file} stops ({type(error).__name__}: {first_line(error)})") from error
    return module


def _lacks(module: Any, name: str) -> bool:
    return getattr(module, name, None) is None


def _fact(module: Any, kind: str, name: str, given: Any) -> Any:
    value = getattr(module, name, None) if given is None else given
    if value is None:
        raise ReadingError(f"'{name}' of {kind} is missing, expected it in the file, or --{name}")
    return value


def _load(path: str) -> Any:
    """What torch.jit.save or torch.save wrote; the second is a pickle."""
    if not Path(path).is_file():
        raise ReadingError(f"{path}: no such file, expected a module of torch, or a load(path)")
    try:
        return torch.jit.load(path, map_location="cpu")
    except RuntimeError:
        pass
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a pickle raises whatever its classes raise
        raise ReadingError(
            f"{path} is no module of torch ({first_line(error)}), expected one of torch.save or "
            "torch.jit.save, or a function load(path) beside the energies"
        ) from None


def _dtype_of(model: Any) -> str:
    if isinstance(model, torch.nn.Module):
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.dtype in (torch.float32, torch.float64):
                return str(tensor.dtype).removeprefix("torch.")
    return "float64"
