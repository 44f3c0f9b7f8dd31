"""MACE (package mace-torch): its weights go into a network of ours.

Importing MACE changes settings of torch for a whole process: the default float type, and e3nn
switches the reading of weights alone off. Both are undone here, for models in memory.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .elements import SYMBOLS
from .mace_plan import DENSITY, plan_of
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "mace"
INSTALL = ("torch", "mace-torch==0.3.16")
READS = "models that MACE saved (torch.save of the module)"
WAY = "network"

_INTERACTIONS = (
    "RealAgnosticInteractionBlock",
    "RealAgnosticResidualInteractionBlock",
    *DENSITY,
)
_READOUTS = ("LinearReadoutBlock", "NonLinearReadoutBlock")


def open_model(wish: Wish) -> Source:
    """The model in a file."""
    return source_of(_unpickled(Path(wish.model)), wish)


def source_of(model: torch.nn.Module, wish: Wish) -> Source:
    """A MACE in memory, which stays as it is.

    Args:
        model: the MACE.
        wish: `model` is its name, for errors.
    """
    with torch_settings():
        refuse_unsupported(model, wish.model)
        mace = _copy(model)
        elements = _elements(mace, wish.species, wish.model)
        heads = list(getattr(mace, "heads", None) or ["Default"])
        head = _head(heads, wish.head, wish.model)
        try:
            plan = plan_of(mace, elements, head)
        except ReadingError as error:
            raise ReadingError(f"{wish.model}: {error}") from None
    symbols = [SYMBOLS[z] for z in mace.atomic_numbers[elements].tolist()]
    return Source(
        species=symbols,
        cutoff=float(mace.r_max),
        layers=len(mace.interactions),
        dtypes=("float64", "float32"),
        own_results=lambda structure: _results(mace, heads[head], structure),
        network=plan,
        isolated=_isolated(mace, head, elements, symbols),
        provenance={
            "package": f"mace-torch {version('mace-torch')}",
            "model": Path(wish.model).name,
            **({"head": heads[head]} if len(heads) > 1 else {}),
        },
    )


def import_mace() -> Any:
    """The package `mace`. What it changes in torch is undone afterwards."""
    with torch_settings():
        from importlib import import_module

        return import_module("mace.modules")


@contextmanager
def torch_settings() -> Iterator[None]:
    """Undo what MACE and e3nn change in torch: how torch.load reads, the default float type.

    e3nn 0.4.4 cannot read its own constants unless `slice` is allowed, or any pickle is.
    """
    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before, dtype = os.environ.get(variable), torch.get_default_dtype()
    try:
        with torch.serialization.safe_globals([slice]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float64)  # MACE's repulsion is rounded to it
            yield
    finally:
        torch.set_default_dtype(dtype)
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before


def _results(model: Any, head: str, structure: Structure) -> Results:
    """MACE's own calculator."""
    with torch_settings():
        from ase import Atoms
        from mace.calculators import MACECalculator

        atoms = Atoms(
            structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc
        )
        options: dict[str, Any] = (
            {"head": head} if len(getattr(model, "heads", None) or []) > 1 else {}
        )
        atoms.calc = MACECalculator(
            models=copy.deepcopy(model), device="cpu", default_dtype="float64", **options
        )
        forces = atoms.get_forces()
        found = atoms.calc.results
        return Results(found["energy"], forces, found["stress"], found["energies"])


def _isolated(
    model: Any, head: int, elements: Sequence[int], symbols: Sequence[str]
) -> dict[str, float]:
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[head, elements]
    return dict(zip(symbols, energies.tolist(), strict=True))


def _unpickled(path: Path) -> torch.nn.Module:
    if not path.is_file():
        raise ReadingError(f"{path}: no such file, expected a model of MACE")
    with torch_settings():
        import_mace()
        try:
            found = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:  # a pickle fails with whatever its classes raise
            raise ReadingError(
                f"{path}: not a readable model of MACE ({first_line(error)})"
            ) from None
    if not isinstance(found, torch.nn.Module):
        raise ReadingError(
            f"{path} holds a {type(found).__name__}, expected the module that MACE saves"
        )
    return found


def _copy(model: torch.nn.Module) -> Any:
    """A copy in float64 on the CPU."""
    return copy.deepcopy(model).cpu().double().eval().requires_grad_(False)


def refuse_unsupported(model: Any, name: str) -> None:
    """Raise an error that names what a model has that is not supported."""
    kind = type(model).__name__
    if kind not in ("MACE", "ScaleShiftMACE"):
        raise ReadingError(f"{name} is a {kind}, expected a MACE or ScaleShiftMACE")
    for part in model.modules():
        if "LoRA" in type(part).__name__:
            raise ReadingError(f"{name} has LoRA adapters, expected a model they are merged into")
    if hasattr(model, "joint_embedding"):
        raise ReadingError(
            f"{name} takes {' '.join(model.embedding_specs)} as input, expected a model of "
            "positions and elements alone"
        )
    for block in model.interactions:
        class_name = type(block).__name__
        if class_name not in _INTERACTIONS:
            raise ReadingError(
                f"{name} has interactions of class {class_name}, "
                f"expected {' | '.join(_INTERACTIONS)}"
            )
        for key in ("cueq_config", "oeq_config"):
            if getattr(getattr(block, key, None), "enabled", False):
                raise ReadingError(
                    f"{name} was converted for {'cu' if key[0] == 'c' else 'Open'}Equivariance, "
                    "expected it as MACE saved it (mace_cueq_to_e3nn, or mace_oeq_to_e3nn)"
                )
    for readout in model.readouts:
        if type(readout).__name__ not in _READOUTS:
            raise ReadingError(
                f"{name} has a readout of class {type(readout).__name__}, "
                f"expected {' | '.join(_READOUTS)}"
            )


def _elements(model: Any, species: Sequence[str] | None, name: str) -> list[int]:
    """Places in the model's table of elements."""
    known = [SYMBOLS[z] for z in model.atomic_numbers.tolist()]
    if unknown := [symbol for symbol in species or () if symbol not in known]:
        raise ReadingError(f"{name} has no {' '.join(unknown)}, expected some of {' '.join(known)}")
    return [known.index(symbol) for symbol in species or known]


def _head(heads: list[str], head: str | None, name: str) -> int:
    if head is None and len(heads) == 1:
        return 0
    if head is None or head not in heads:
        raise ReadingError(
            f"{name} has {'no head ' + repr(head) if head else 'several heads'}, expected head to "
            f"be {' | '.join(heads)}"
        )
    return heads.index(head)
