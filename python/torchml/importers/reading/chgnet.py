"""CHGNet (https://github.com/CederGroupHub/chgnet): its shipped models, and its checkpoints."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from .elements import SYMBOLS
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "chgnet"
INSTALL = ("torch", "chgnet==0.4.2")
READS = "checkpoints of its Trainer; 0.3.0, 0.2.0 and r2scan of the package by name"
WAY = "network"
MARK = "atom_graph_cutoff"

# chgnet's own factor, exactly (GPa in eV/Å³).
_GPA = 1.0 / 160.21766208
# chgnet rounds coordinates and angles to float32, and its arc cosine has slopes up to 707: in dense
# crystals its own results in float32 and float64 differ by 4e-4.
_TOLERANCE = {"float64": 1e-8, "float32": 1e-3}


def open_model(wish: Wish) -> Source:
    """A CHGNet as the weights of a network of torchml.

    Args:
        wish: `model` is the path of a checkpoint, or a name of a shipped model (0.3.0, 0.2.0,
            r2scan).

    Raises:
        ReadingError: there is no such model, or its energy is not a sum over atoms near to each
            other.
    """
    with _quiet():
        path = Path(wish.model)
        model = of_file(path) if path.is_file() else _shipped(wish.model)
    return source_of(model, wish)


def source_of(model: Any, wish: Wish) -> Source:
    """A CHGNet in memory.

    Args:
        model: in evaluation mode.
        wish: `model` is its name, for errors and the report.
    """
    if wish.head is not None:
        raise ReadingError(f"{wish.model} is a CHGNet, which has no heads, but head is {wish.head}")
    refuse_unsupported(model, wish.model)
    species = _species(model, wish)
    notes = ["chgnet computes magnetic moments too; the exported model computes energies alone"]
    if _changes_bonds_without_angles(model):
        model.graph_converter.register_forward_hook(_add_angle)
        notes.append(
            "this CHGNet changes the features of all bonds if there is an angle anywhere in the "
            "structure; the exported model always changes them"
        )
    return Source(
        species=species,
        cutoff=float(model.graph_converter.atom_graph_cutoff),
        layers=int(model.n_conv),
        dtypes=("float64", "float32"),
        own_results=lambda structure: own_results(model, structure),
        exact_results=lambda structure: _results_in_float64(model, structure),
        network=network_of(model, species),
        isolated=_isolated(model, species),
        provenance={
            "package": "chgnet",
            "version": version("chgnet"),
            "model": Path(wish.model).name,
        },
        tolerance=_TOLERANCE,
        notes=tuple(notes),
    )


def own_results(model: Any, structure: Structure) -> Results:
    """What chgnet's calculator computes.

    The stress is that of the volume of the structure's cell; it is None for a cell without volume.
    """
    from ase import Atoms
    from chgnet.model.dynamics import CHGNetCalculator

    atoms = Atoms(
        structure.symbols,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )
    volume = abs(np.linalg.det(atoms.cell.array))
    _add_vacuum(atoms, 2.0 * model.graph_converter.atom_graph_cutoff)
    with _quiet():
        calculator = CHGNetCalculator(
            model,
            use_device="cpu",
            stress_weight=_GPA,
            on_isolated_atoms="ignore",
            return_site_energies=True,
        )
        calculator.calculate(atoms, task="efs")
    stress = None
    if volume > 1e-12:
        tensor = np.asarray(calculator.results["stress"], float) * (atoms.get_volume() / volume)
        symmetric = (tensor + tensor.T) / 2
        stress = symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return Results(
        energy=float(calculator.results["energy"]),
        forces=np.asarray(calculator.results["forces"], float),
        stress=stress,
        energies=np.asarray(calculator.results["energies"], float),
    )


def _results_in_float64(model: Any, structure: Structure) -> Results:
    """What its calculator computes if all of chgnet is in float64."""
    with _in_float64():
        return own_results(deepcopy(model).double(), structure)


@contextlib.contextmanager
def _in_float64() -> Iterator[None]:
    """Within, chgnet's constants of the float type, and its casts, are those of float64."""
    modules = ("chgnet.graph.converter", "chgnet.graph.crystalgraph", "chgnet.model.model")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with contextlib.ExitStack() as stack:
            for name in modules:
                stack.enter_context(patch.object(import_module(name), "TORCH_DTYPE", torch.float64))
            # of the numbers of atoms that the composition's energies are made of
            stack.enter_context(patch.object(Tensor, "float", Tensor.double))
            yield
    finally:
        torch.set_default_dtype(before)


def network_of(model: Any, species: list[str]) -> dict[str, Any]:
    """The plain values and tensors of `torchml.importers.networks.chgnet.build`."""
    encoder = model.bond_basis_expansion
    updates = [layer for layer in model.angle_layers if layer is not None]
    return {
        "family": "chgnet",
        "species": species,
        "cutoff": float(model.graph_converter.atom_graph_cutoff),
        "bond_cutoff": float(model.graph_converter.bond_graph_cutoff),
        "exponent": int(encoder.rbf_expansion_ag.smooth_cutoff.p),
        "activation": str(model.model_args["non_linearity"]).lower(),
        "references": _references(model, species),
        "frequencies": _own(encoder.rbf_expansion_ag.frequencies),
        "bond_frequencies": _own(encoder.rbf_expansion_bg.frequencies),
        "angle_frequencies": _own(model.angle_basis_expansion.fourier_expansion.frequencies),
        "atoms": _own(model.atom_embedding.embedding.weight[_rows(species)]),
        "bonds": _own(model.bond_embedding.weight),
        "weights": _own(model.bond_weights_ag.weight),
        "bond_weights": _own(model.bond_weights_bg.weight),
        "angles": _own(model.angle_embedding.weight),
        "atom_convs": [
            {**_conv(layer, layer.twoBody_atom), "norm": _norm(layer.atom_norm)}
            for layer in model.atom_conv_layers
        ],
        "bond_convs": [
            {**_conv(layer, layer.twoBody_bond), "norm": _norm(layer.bond_norm)}
            for layer in _bond_layers(model)
        ],
        "angle_updates": [
            {"mlp": _gated(layer.twoBody_bond), "norm": _norm(layer.angle_norm)}
            for layer in updates
        ],
        "readout": _readout(model),
    }


def refuse_unsupported(model: Any, name: str) -> None:
    """Raise an error that names what makes a model's energy non-local, or what jumps."""
    if not model.mlp_first:
        raise ReadingError(
            f"{name} has mlp_first=False: its energy is a function of the mean of the features of "
            "all atoms, so atoms of any distance act on each other, and no domain decomposition "
            "can compute it; expected a CHGNet with mlp_first=True"
        )
    composition = model.composition_model
    kind = type(composition).__name__
    if kind not in ("AtomRef", "NoneType"):
        raise ReadingError(
            f"{name} has a composition model of class {kind}, whose energy is no sum over atoms; "
            "expected an AtomRef"
        )
    if composition is not None and composition.is_intensive != model.is_intensive:
        raise ReadingError(
            f"{name} has is_intensive={model.is_intensive}, but is_intensive="
            f"{composition.is_intensive} of its composition model: it adds an energy per atom to "
            "one of all atoms; expected both to be equal"
        )
    exponent = model.bond_basis_expansion.rbf_expansion_ag.smooth_cutoff.p
    if exponent != int(exponent) or exponent < 1:
        raise ReadingError(
            f"{name} has cutoff_coeff={exponent}, expected a whole number, at least 1; with 0 "
            "energies jump at the cutoff"
        )


def _shipped(name: str) -> Any:
    """A model of the package, by name."""
    from chgnet.model.model import CHGNet

    try:
        return CHGNet.load(model_name=name, use_device="cpu", verbose=False).eval()
    except ValueError:
        raise ReadingError(
            f"{name} is no file, and chgnet {version('chgnet')} ships no model of this name; "
            "expected a checkpoint, or 0.3.0 | 0.2.0 | r2scan"
        ) from None


def of_file(path: Path) -> Any:
    """A model of a checkpoint: plain values and tensors, which run no code."""
    from chgnet.model.model import CHGNet

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types
        raise ReadingError(
            f"{path}: not readable as plain values and tensors ({first_line(error)}), expected a "
            "checkpoint that chgnet's Trainer saved"
        ) from None
    found = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(found, dict) or not {"state_dict", "model_args"} <= set(found):
        raise ReadingError(
            f"{path} holds no model of chgnet, expected the key 'model' with 'state_dict' and "
            "'model_args'"
        )
    # Versions before 0.3.0 had these biases, and their files do not say so.
    biases = "atom_conv_layers.0.mlp_out.layers.1.bias" in found["state_dict"]
    try:
        model = CHGNet.from_dict(
            {**found, "model_args": {**found["model_args"], "mlp_out_bias": biases}}
        )
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ReadingError(
            f"{path}: chgnet {version('chgnet')} cannot build this model ({first_line(error)})"
        ) from None
    return model.eval()


def _species(model: Any, wish: Wish) -> list[str]:
    """Chemical symbols that are wanted; by default all of the model."""
    known = SYMBOLS[1 : model.atom_embedding.embedding.num_embeddings + 1]
    if wish.species is None:
        return known
    if unknown := [symbol for symbol in wish.species if symbol not in known]:
        raise ReadingError(
            f"{wish.model} has no {' '.join(unknown)}, expected elements from {known[0]} to "
            f"{known[-1]}"
        )
    return list(wish.species)


def _rows(species: list[str]) -> list[int]:
    """Places of elements in the model's tables, which begin with H."""
    return [SYMBOLS.index(symbol) - 1 for symbol in species]


def _bond_layers(model: Any) -> list[Any]:
    return [layer for layer in model.bond_conv_layers if layer is not None]


def _changes_bonds_without_angles(model: Any) -> bool:
    """Whether convolutions have a bias or a norm, which act on bonds that no angle contains."""
    layers = _bond_layers(model)
    biases = [bias for layer in layers for _, bias in _layers(layer.mlp_out)]
    return any(layer.bond_norm is not None for layer in layers) or any(
        bias is not None for bias in biases
    )


def _add_angle(converter: Any, _: Any, graph: Any) -> Any:
    """An angle of weight zero, of the longest bond with itself, where there is none.

    chgnet skips its convolutions of bonds in structures without angles. In a large system there is
    an angle somewhere, and what it does to far bonds must not depend on that.
    """
    if len(graph.bond_graph) or not len(graph.neighbor_image):
        return graph
    center, neighbor = graph.atom_graph.long().T
    places = graph.atom_frac_coord
    vectors = (places[neighbor] + graph.neighbor_image - places[center]) @ graph.lattice
    lengths = vectors.norm(dim=1)
    longest = int(lengths.argmax())
    if lengths[longest] > converter.bond_graph_cutoff:
        bond = graph.directed2undirected[longest]
        row = [center[longest], bond, longest, bond, longest]
        graph.bond_graph = torch.tensor([[int(one) for one in row]], dtype=torch.int32)
    return graph


def _references(model: Any, species: list[str]) -> dict[str, float]:
    if model.composition_model is None:
        return dict.fromkeys(species, 0.0)
    weights = model.composition_model.fc.weight[0][_rows(species)].tolist()
    return dict(zip(species, weights, strict=True))


@torch.no_grad()
def _isolated(model: Any, species: list[str]) -> dict[str, float]:
    """Energies of atoms without neighbours."""
    x = model.atom_embedding(torch.tensor(_rows(species)))
    for layer in model.atom_conv_layers:
        x = x + layer.mlp_out(torch.zeros_like(x))
        x = x if layer.atom_norm is None else layer.atom_norm(x)
    x = x if model.readout_norm is None else model.readout_norm(x)
    energies = model.mlp(x).squeeze(1).tolist()
    references = _references(model, species)
    return {
        symbol: energy + references[symbol]
        for symbol, energy in zip(species, energies, strict=True)
    }


def _conv(layer: Any, mlp: Any) -> dict[str, Any]:
    (out,) = _layers(layer.mlp_out)
    return {"mlp": _gated(mlp), "out": out}


def _gated(mlp: Any) -> dict[str, Any]:
    return {
        "core": _layers(mlp.mlp_core),
        "gate": _layers(mlp.mlp_gate),
        "core_norm": _norm(mlp.bn1),
        "gate_norm": _norm(mlp.bn2),
    }


def _readout(model: Any) -> dict[str, Any]:
    mlp, last = None, model.mlp
    if isinstance(model.mlp, torch.nn.Sequential):
        mlp, last = _gated(model.mlp[0]), model.mlp[1:]
    return {"norm": _norm(model.readout_norm), "mlp": mlp, "layers": _layers(last)}


def _layers(mlp: torch.nn.Module) -> list[list[Tensor | None]]:
    """Weights and biases of linear layers."""
    return [
        [_own(part.weight), None if part.bias is None else _own(part.bias)]
        for part in mlp.modules()
        if isinstance(part, torch.nn.Linear)
    ]


def _norm(norm: torch.nn.Module | None) -> dict[str, Any] | None:
    """A norm as plain values; a batch norm after training is an affine function."""
    if norm is None:
        return None
    if isinstance(norm, torch.nn.LayerNorm):
        return {
            "kind": "layer",
            "weight": _own(norm.weight),
            "bias": _own(norm.bias),
            "epsilon": norm.eps,
        }
    assert isinstance(norm, torch.nn.BatchNorm1d)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    return {"kind": "affine", "weight": _own(scale), "bias": _own(norm.bias - mean * scale)}


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().contiguous()


def _add_vacuum(atoms: Any, width: float) -> None:
    """Vectors that are no periods become orthogonal to the others and longer than the structure."""
    from ase.geometry import complete_cell

    cell = complete_cell(atoms.cell.array)
    for axis in np.flatnonzero(~atoms.pbc):
        cell[axis] = 0.0
    cell = complete_cell(cell)
    for axis in np.flatnonzero(~atoms.pbc):
        unit = cell[axis] / np.linalg.norm(cell[axis])
        heights = atoms.positions @ unit
        cell[axis] = unit * (np.ptp(heights) + width)
    atoms.set_cell(cell)


@contextlib.contextmanager
def _quiet() -> Any:
    """chgnet prints what it does."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
