"""Read a model of MACE, in a process of its own where it lies in a file.

    python -m torchml.importers.mace.reading MODEL OUTPUT OPTIONS

A pickle of MACE can run any code, and importing MACE changes settings of torch for a whole process:
the default float type, and e3nn switches the reading of weights alone off. The process that this
module is started in takes both; what it writes are plain tensors and numbers.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

import torchml._core as core
from torchml.errors import FileError, ModelError, TorchMLError
from torchml.importers.mace.plan import build
from torchml.importers.mace.weights import DENSITY, plan_of
from torchml.models.scaled import Scaled

_INTERACTIONS = (
    "RealAgnosticInteractionBlock",
    "RealAgnosticResidualInteractionBlock",
    *DENSITY,
)
_READOUTS = ("LinearReadoutBlock", "NonLinearReadoutBlock")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the plan of the model in a file, or the reason why there is none."""
    model, output, options = sys.argv[1:] if arguments is None else arguments
    content: dict[str, Any]
    try:
        with _torch_settings():
            module = _unpickled(Path(model))
        content = {"plan": read_module(module, model, **json.loads(options))}
    except TorchMLError as error:
        content = {"error": str(error)}
    torch.save(content, output)


def read_module(
    model: torch.nn.Module, name: str, species: Sequence[str] | None, head: str | None
) -> dict[str, Any]:
    """The plan of a MACE in memory, once it has given MACE's own energies.

    Args:
        model: the MACE; it stays as it is.
        name: of the model, for errors.
        species: chemical symbols of the elements wanted; None takes all.
        head: name of a head; None takes the only one, or the one called default.
    """
    with _torch_settings():
        refuse_unsupported(model, name)
        mace = _copy(model)
        elements, number = _elements(mace, species, name), _head(mace, head, name)
        try:
            plan = plan_of(mace, elements, number)
        except TorchMLError as error:
            raise ModelError(f"{name}: {error}") from None
        _compare(mace, build(plan), elements, number, name)
    return plan


def import_mace() -> Any:
    """The package `mace`. What it changes in torch is undone afterwards."""
    with _torch_settings():
        return _import("mace.modules")


@contextmanager
def _torch_settings() -> Iterator[None]:
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


def _import(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise TorchMLError(
            f"reading a model of MACE needs the package mace-torch, which cannot be imported "
            f"({error}); install it with 'pip install mace-torch'"
        ) from None


def _unpickled(path: Path) -> torch.nn.Module:
    if not path.is_file():
        raise FileError(f"{path}: no such file, expected a model of MACE")
    _import("mace.modules")
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a pickle fails with whatever its classes raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise FileError(f"{path}: not a readable model of MACE ({reason[0]})") from None
    if not isinstance(found, torch.nn.Module):
        raise FileError(
            f"{path} holds a {type(found).__name__}, expected the module that MACE saves"
        )
    return found


def _copy(model: torch.nn.Module) -> Any:
    """A copy in float64 on the CPU."""
    from copy import deepcopy

    return deepcopy(model).cpu().double().eval().requires_grad_(False)


def refuse_unsupported(model: Any, name: str) -> None:
    """Raise an error that names what a model has that is not supported."""
    kind = type(model).__name__
    if kind not in ("MACE", "ScaleShiftMACE"):
        raise ModelError(f"{name} is a {kind}, expected a MACE or ScaleShiftMACE")
    for part in model.modules():
        if "LoRA" in type(part).__name__:
            raise ModelError(f"{name} has LoRA adapters, expected a model they are merged into")
    if hasattr(model, "joint_embedding"):
        raise ModelError(
            f"{name} takes {' '.join(model.embedding_specs)} as input, expected a model of "
            "positions and elements alone"
        )
    for block in model.interactions:
        class_name = type(block).__name__
        if class_name not in _INTERACTIONS:
            raise ModelError(
                f"{name} has interactions of class {class_name}, "
                f"expected {' | '.join(_INTERACTIONS)}"
            )
        for key in ("cueq_config", "oeq_config"):
            if getattr(getattr(block, key, None), "enabled", False):
                raise ModelError(
                    f"{name} was converted for {'cu' if key[0] == 'c' else 'Open'}Equivariance, "
                    "expected it as MACE saved it (mace_cueq_to_e3nn, or mace_oeq_to_e3nn)"
                )
    for readout in model.readouts:
        if type(readout).__name__ not in _READOUTS:
            raise ModelError(
                f"{name} has a readout of class {type(readout).__name__}, "
                f"expected {' | '.join(_READOUTS)}"
            )


def _elements(model: Any, species: Sequence[str] | None, name: str) -> list[int]:
    """Places in the model's table of elements."""
    numbers = model.atomic_numbers.tolist()
    if species is None:
        return list(range(len(numbers)))
    wanted = [core.atomic_number(symbol) for symbol in species]
    if unknown := [s for s, z in zip(species, wanted, strict=True) if z not in numbers]:
        known = " ".join(chemical_symbols[z] for z in numbers)
        raise ModelError(f"{name} has no {' '.join(unknown)}, expected some of {known}")
    return [numbers.index(z) for z in wanted]


def _head(model: Any, head: str | None, name: str) -> int:
    heads = list(getattr(model, "heads", None) or ["Default"])
    if head is None and len(heads) == 1:
        return 0
    wanted = [
        k
        for k, one in enumerate(heads)
        if one == head or (head is None and one.lower() == "default")
    ]
    if not wanted:
        raise ModelError(
            f"{name} has {'no head ' + repr(head) if head else 'several heads'}, expected head to "
            f"be {' | '.join(heads)}"
        )
    return wanted[0]


def _compare(model: Any, potential: Scaled, elements: list[int], head: int, name: str) -> None:
    """Refuse a potential whose energies of a random cluster are not MACE's own."""
    generator = torch.Generator().manual_seed(0)
    count, cutoff = 12, potential.cutoff
    spots = torch.cartesian_prod(*[torch.arange(3.0, dtype=torch.float64)] * 3)[:count]
    noise = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    positions = (spots + 0.4 * noise) * (0.55 * cutoff)
    codes = torch.arange(count) % len(elements)
    apart = torch.cdist(positions, positions) + cutoff * torch.eye(count, dtype=torch.float64)
    target, source = (apart < cutoff).nonzero().T
    edge_index = torch.stack([source, target])
    with torch.no_grad():
        expected = model(
            {
                "positions": positions,
                "node_attrs": torch.nn.functional.one_hot(
                    torch.tensor(elements)[codes], len(model.atomic_numbers)
                ).double(),
                "edge_index": edge_index,
                "shifts": torch.zeros(len(source), 3, dtype=torch.float64),
                "unit_shifts": torch.zeros(len(source), 3, dtype=torch.float64),
                "cell": torch.zeros(3, 3, dtype=torch.float64),
                "batch": torch.zeros(count, dtype=torch.int64),
                "ptr": torch.tensor([0, count]),
                "head": torch.tensor([head]),
            },
            compute_force=False,
        )["node_energy"]
        vectors = positions[source] - positions[target]
        layers = potential.layers
        found = potential(
            codes, vectors, edge_index, [count] * (layers + 1), [len(source)] * layers
        )
    error = float((found - expected).abs().max() / (expected.abs().max() + 1.0))
    if not error < 1e-9:
        raise ModelError(
            f"{name}: the energies of a test cluster differ from MACE's by {error:.1e}, expected "
            "the same: this variant of MACE is not supported"
        )


if __name__ == "__main__":
    main()
