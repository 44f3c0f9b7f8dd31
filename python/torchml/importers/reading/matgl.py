"""TensorNet and M3GNet of matgl (https://github.com/materialyzeai/matgl), in a `Potential`.

G. Simeon and G. De Fabritiis, NeurIPS 2023 (arXiv:2306.06482); C. Chen and S. P. Ong, Nat. Comput.
Sci. 2, 718 (2022).

A saved potential is a folder of three files. They hold plain values and tensors and are read as
such; the classes that they name must be matgl's own.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .matgl_m3gnet import M3GNet
from .matgl_tensornet import TensorNet
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "matgl"
INSTALL = ("torch==2.13.0", "matgl==4.1.0")
READS = "folders of saved potentials with TensorNet or M3GNet"
WAY = "graph"

_FILES = ("model.json", "model.pt", "state.pt")
_NETWORKS: dict[str, type[TensorNet] | type[M3GNet]] = {"TensorNet": TensorNet, "M3GNet": M3GNet}
_REFUSED = {
    "CHGNet": "no adapter has been written for matgl's; that of the package chgnet is read",
    "QET": "its charges follow from all atoms of a system at once, at any distance",
    "SO3Net": "no adapter has been written for it",
    "GRACE": "no adapter has been written for it",
    "MEGNet": "it describes a structure as a whole, not its atoms",
}


def open_model(wish: Wish) -> Source:
    """Read a potential that matgl saved.

    Args:
        wish: `model` is the folder that `Potential.save` wrote.

    Raises:
        ReadingError: the folder holds no such potential, or the wish does not fit it.
    """
    path = Path(wish.model)
    dtype = wish.dtype or "float32"
    if wish.head is not None:
        raise ReadingError(f"{path} has no heads, expected no head instead of '{wish.head}'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential = _potential(path, dtype)
    _refuse(potential, path)
    network = potential.model
    elements = list(network.element_types)
    symbols = list(wish.species or elements)
    if unknown := [one for one in symbols if one not in elements]:
        raise ReadingError(
            f"species has '{unknown[0]}', which {path} does not know, expected some of "
            f"{' '.join(elements)}"
        )
    codes = torch.tensor([elements.index(one) for one in symbols])
    references = _references(potential, codes)
    energies = _NETWORKS[type(network).__name__](
        network, codes, float(potential.data_std), references
    )
    return Source(
        species=symbols,
        cutoff=float(network.cutoff),
        layers=_layers(network),
        dtypes=("float32", "float64"),
        own_results=_calculator(potential),
        energies=energies.eval().requires_grad_(False),
        provenance={
            "package": "matgl",
            "version": version("matgl"),
            "model": type(network).__name__,
            "file": path.name,
        },
        notes=(*_notes(network), _reference_note(symbols, references)),
    )


def _layers(network: Any) -> int:
    """Passes over the edges; TensorNet's embedding of the atoms is one of its own."""
    if type(network).__name__ == "TensorNet":
        return len(network.layers) + 1
    return int(network.n_blocks)


def _reference_note(symbols: list[str], references: Tensor) -> str:
    """The reference energies, which need not be those of isolated atoms."""
    values = " ".join(f"{one} {e:g}" for one, e in zip(symbols, references.tolist(), strict=True))
    return f"reference energies in the energies: {values} eV"


def _notes(network: Any) -> tuple[str, ...]:
    if type(network).__name__ == "TensorNet":
        return (
            "the cutoff function of matgl's TensorNet has a continuous first derivative: forces "
            "are continuous, force constants are not",
        )
    if not network.bond_expansion.smooth:
        return (
            "this M3GNet was made without use_smooth: its energy is continuous where a neighbour "
            "reaches the cutoff, its forces are not",
        )
    return ()


def _potential(path: Path, dtype: str) -> Any:
    """The `Potential` in a folder, in a float type."""
    if missing := [name for name in _FILES if not (path / name).is_file()]:
        raise ReadingError(
            f"{path} has no {missing[0]}, expected the folder of a saved Potential of matgl"
        )
    matgl = import_module("matgl")
    tensornet: Any = import_module("matgl.models._tensornet")
    tensornet._warp_available = False  # torch operations alone
    try:
        _require_own_classes(path)
        matgl.set_default_dtype("float", 64 if dtype == "float64" else 32)
        potential = matgl.load_model(path)
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except ReadingError:
        raise
    except Exception as error:  # matgl and torch raise many kinds
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ReadingError(
            f"{path}: not a readable potential of matgl ({first_line(cause)})"
        ) from None
    if type(potential).__name__ != "Potential":
        raise ReadingError(
            f"{path} holds a {type(potential).__name__} without the energies of the elements and "
            "the scale, expected a matgl.apps.pes.Potential around it"
        )
    # matgl ignores weights that a file lacks.
    if lacking := sorted(set(potential.state_dict()) - set(state)):
        raise ReadingError(f"{path}/state.pt lacks {lacking[0]}, expected all weights of the model")
    potential.model = getattr(potential.model, "_orig_mod", potential.model)  # without compiler
    return potential.to(getattr(torch, dtype)).eval().requires_grad_(False)


def _require_own_classes(path: Path) -> None:
    """Refuse files that name classes of other packages: matgl imports what they name."""
    described = json.loads((path / "model.json").read_text())
    arguments = torch.load(path / "model.pt", map_location="cpu", weights_only=True)
    for module in (*_modules_in(described), *_modules_in(arguments)):
        if module.split(".")[0] != "matgl":
            raise ReadingError(f"{path} names a class of {module}, expected classes of matgl only")


def _modules_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "@module" in value:
            yield str(value["@module"])
        for one in value.values():
            yield from _modules_in(one)


def _refuse(potential: Any, path: Path) -> None:
    """Refuse what is no sum of energies of atoms, or what matgl's own calculator cannot do."""
    network = potential.model
    kind = type(network).__name__
    if kind not in _NETWORKS:
        reason = _REFUSED.get(kind, "no adapter has been written for it")
        raise ReadingError(
            f"{path} has a network of the class {kind}: {reason}, expected {' | '.join(_NETWORKS)}"
        )
    if network.is_intensive:
        raise ReadingError(
            f"{path} predicts an average over the atoms (is_intensive), expected an energy that is "
            "a sum over the atoms"
        )
    if potential.calc_repuls:
        raise ReadingError(
            f"{path} has a nuclear repulsion (calc_repuls), which matgl's own calculator cannot "
            "evaluate, expected a potential without"
        )
    if float(potential.data_mean) != 0.0:
        raise ReadingError(
            f"{path} adds data_mean, {float(potential.data_mean):g} eV, to each structure, which "
            "is the energy of no atom, expected zero"
        )
    if potential.element_refs is not None and potential.element_refs.property_offset.dim() != 1:
        raise ReadingError(
            f"{path} has reference energies for several states, expected one for each element"
        )
    if kind == "TensorNet":
        if type(network.tensor_embedding).__module__ != "matgl.layers._embedding":
            raise ReadingError(f"{path} was saved with use_warp=True, expected None or False")
        return
    if network.include_state or network.basis_expansion.use_phi:
        raise ReadingError(
            f"{path} has a state of the whole structure (include_state) or complex functions of "
            "angles (use_phi), expected an M3GNet without"
        )


def _references(potential: Any, codes: Tensor) -> Tensor:
    """Reference energies by species code (eV), float64; zero without."""
    if potential.element_refs is None:
        return torch.zeros(len(codes), dtype=torch.float64)
    offsets: Tensor = potential.element_refs.property_offset.to(torch.float64)
    return offsets[codes]


def _calculator(potential: Any) -> Callable[[Structure], Results]:
    """matgl's own calculator."""
    from ase import Atoms

    calculator = import_module("matgl.ext.ase").PESCalculator(potential, stress_unit="eV/A3")

    def results(structure: Structure) -> Results:
        # matgl ignores the cell unless all of its vectors are periods; vacuum makes no difference.
        atoms = Atoms(list(structure.symbols), structure.positions, cell=structure.cell, pbc=True)
        calculator.calculate(atoms)
        found = calculator.results
        stress = np.asarray(found["stress"])[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        periodic = all(structure.pbc)
        return Results(float(found["energy"]), found["forces"], stress if periodic else None)

    return results
