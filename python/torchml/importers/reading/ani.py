"""Models of ANI (https://github.com/aiqm/torchani, package torchani).

A model is a folder or an info file of NeuroChem, a state_dict of torchani 2.9, or a whole model of
2.9 that torch.save wrote. A state_dict holds neither cutoffs nor activations: the name of the model
says them, which is that of the file, as of torchani's own `ani2x_state_dict.pt`, or the head.
"""

from __future__ import annotations

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import neurochem
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "torchani"
INSTALL = ("torchani==2.9.0", "ase==3.29.0")
READS = "folders of NeuroChem (ANI-1x), state_dicts and whole models of torchani 2.9; all members"
WAY = "network"

HARTREE = 27.211386024367243  # eV, CODATA 2014: ase.units.Hartree, which torchani's calculator uses
NAMES = ("ANI1x", "ANI1ccx", "ANI1xnr", "ANI2x", "ANI2xr", "ANI2dr", "simple_ani")

NOTES = (
    "torch's derivative of CELU is off by 1.5e-8 of its value in float64, and so are torchani's "
    "forces, in each layer: the comparison is with torchani whose CELU has its exact derivative",
)

Layers = list[tuple[Tensor, Tensor]]  # weights [inputs, outputs], biases [outputs]


def open_model(wish: Wish) -> Source:
    """Open a folder or an info file of NeuroChem, or a file of torchani 2.9.

    Args:
        wish: `model` is a path; `head` is the name of the model for a state_dict whose file has
            another name.
    """
    path = Path(wish.model)
    if not path.exists():
        raise ReadingError(
            f"{path}: no such file, expected a folder of NeuroChem (ani-1x_8x), an info file, or a "
            "state_dict of torchani 2.9; the name of a model is not enough"
        )
    if path.is_dir() or path.suffix == ".info":
        if wish.head is not None:
            raise ReadingError(f"{path} has no heads, but '{wish.head}' was asked for")
        files = neurochem.files_of(path)
        network = of_neurochem(files)
        model = _module_of_neurochem(files, network)
    else:
        model = _module_of_file(path, wish.head)
        network = _of_module(model)
    network = subset(network, wish.species)
    results = _own_results(_exact(model).double())
    species: list[str] = network["species"]
    return Source(
        species=species,
        cutoff=network["cutoff"],
        layers=1,
        dtypes=("float64", "float32"),
        own_results=results,  # in float64, whatever the type of the exported model
        tolerance={"float64": 1e-8, "float32": 1e-8},
        network=network,
        isolated={symbol: results(_alone(symbol)).energy for symbol in species},
        provenance={
            "package": "torchani",
            "version": version("torchani"),
            "model": path.name,
            "members": str(network["networks"][0]["weights"][0].size(0)),
            "Hartree": f"{HARTREE} eV",
        },
        notes=NOTES if network["activation"]["kind"] == "celu" else (),
    )


class _CELU(torch.nn.Module):
    """CELU as a scaled ELU: torch's derivative of CELU has 1 / alpha in float32 only."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * torch.nn.functional.elu(x / self.alpha)


def _exact(model: Any) -> Any:
    """The model with an exact derivative of its activations, where that is CELU."""
    for part in list(model.modules()):
        for name, child in part.named_children():
            if type(child).__name__ in ("CELU", "TightCELU"):
                setattr(part, name, _CELU(getattr(child, "alpha", 0.1)))
    return model


def _alone(symbol: str) -> Structure:
    return Structure([symbol], np.zeros((1, 3)), np.eye(3), (False,) * 3)


def _own_results(model: Any) -> Callable[[Structure], Results]:
    """The calculator of torchani 2.2 or 2.9."""
    from ase import Atoms

    calculator = model.ase()

    def own_results(structure: Structure) -> Results:
        atoms = Atoms(structure.symbols, _inside(structure), cell=structure.cell, pbc=structure.pbc)
        stress = None
        wanted = ["energy", "forces", *(["stress"] if any(structure.pbc) else [])]
        calculator.calculate(atoms, wanted)
        found = calculator.results
        if any(structure.pbc):
            matrix = np.array(found["stress"], dtype=float).reshape(3, 3)
            stress = matrix[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)]
        return Results(float(found["energy"]), np.array(found["forces"], dtype=float), stress)

    return own_results


def _inside(structure: Structure) -> np.ndarray:
    """Positions inside the cell, in the middle of it where it is not periodic.

    Where some directions are not periodic, torchani's wrapping is right only for such positions: it
    restores Cartesian coordinates in place of those along the cell's vectors.
    """
    if not any(structure.pbc):
        return structure.positions
    places = structure.positions @ np.linalg.inv(structure.cell)
    middle = 0.5 * (places.min(0) + places.max(0))
    places = np.where(structure.pbc, places % 1.0, places - middle + 0.5)
    return np.asarray(places @ structure.cell)


def of_neurochem(files: neurochem.Files) -> dict[str, Any]:
    constants = neurochem.constants_of(files.constants)
    species = neurochem.species_of(files.constants)
    energies = neurochem.self_energies_of(files.self_energies)
    if missing := [symbol for symbol in species if symbol not in energies]:
        raise ReadingError(f"{files.self_energies} has no energy of {' '.join(missing)}")
    members = [
        [neurochem.network_of(folder / f"ANN-{symbol}.nnf") for symbol in species]
        for folder in files.members
    ]
    kinds = {layers[0].activation for member in members for layers in member}
    if len(kinds) > 1:
        raise ReadingError(f"the networks beside {files.constants} differ in their activation")
    return _network(
        species,
        # float32, as torchani and NeuroChem keep these constants.
        {key: torch.tensor(values) for key, values in constants.items() if key[0] in "ESZ"},
        (constants["Rcr"][0], constants["Rca"][0]),
        {"kind": "cosine"},
        neurochem.ACTIVATIONS[kinds.pop()],
        [
            [[(one.weights, one.biases) for one in layers] for layers in member]
            for member in members
        ],
        {symbol: HARTREE * energies[symbol] for symbol in species},
    )


def _network(
    species: list[str],
    constants: Mapping[str, Tensor],
    cutoffs: tuple[float, float],
    cutoff_function: dict[str, Any],
    activation: dict[str, Any],
    members: Sequence[Sequence[Layers]],
    references: dict[str, float],
    repulsion: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Plain values of the network of `torchml.importers.networks.ani`.

    Args:
        constants: EtaR, ShfR, EtaA, Zeta, ShfA, ShfZ.
        members: of each member, the layers of the network of each element.
        references: energies of the elements (eV).
    """
    value = {key: one.double().flatten() for key, one in constants.items()}
    networks = []
    for element, symbol in enumerate(species):
        own = [member[element] for member in members]
        sizes = {tuple(tuple(weights.shape) for weights, _ in layers) for layers in own}
        if len(sizes) > 1:
            raise ReadingError(f"the members' networks of {symbol} differ in their sizes")
        layers = list(zip(*own, strict=True))
        networks.append(
            {
                "weights": [torch.stack([weights for weights, _ in one]) for one in layers],
                "biases": [torch.stack([biases for _, biases in one]) for one in layers],
            }
        )
    return {
        "family": "ani",
        "species": species,
        "cutoff": max(cutoffs[0], repulsion["cutoff"] if repulsion else 0.0),
        "radial": {"cutoff": cutoffs[0], "eta": float(value["EtaR"]), "shifts": value["ShfR"]},
        "angular": {
            "cutoff": cutoffs[1],
            "eta": float(value["EtaA"]),
            "zeta": float(value["Zeta"]),
            "shifts": value["ShfA"],
            "sections": value["ShfZ"],
        },
        "cutoff_function": cutoff_function,
        "activation": activation,
        "networks": networks,
        "repulsion": repulsion,
        "references": references,
        "scale": HARTREE,
    }


def subset(network: dict[str, Any], wanted: Sequence[str] | None) -> dict[str, Any]:
    """The network for some elements: columns of the others' neighbours are left out."""
    species = network["species"]
    if wanted is None:
        return network
    if unknown := [symbol for symbol in wanted if symbol not in species]:
        raise ReadingError(
            f"the model has no {' '.join(unknown)}, expected some of {' '.join(species)}"
        )
    places = [species.index(symbol) for symbol in wanted]
    radial = network["radial"]["shifts"].numel()
    angular = network["angular"]["shifts"].numel() * network["angular"]["sections"].numel()
    pairs = {
        pair: k for k, pair in enumerate(combinations_with_replacement(range(len(species)), 2))
    }
    own = [pairs[min(pair), max(pair)] for pair in combinations_with_replacement(places, 2)]
    columns = [place * radial + k for place in places for k in range(radial)]
    begin = len(species) * radial
    columns += [begin + pair * angular + k for pair in own for k in range(angular)]
    networks = [network["networks"][place] for place in places]
    network = {
        **network,
        "species": list(wanted),
        "networks": [
            {**one, "weights": [one["weights"][0][:, columns], *one["weights"][1:]]}
            for one in networks
        ],
        "references": {symbol: network["references"][symbol] for symbol in wanted},
    }
    if (repulsion := network["repulsion"]) is not None:
        chosen = {key: repulsion[key][places][:, places] for key in ("charges", "alpha", "powers")}
        network["repulsion"] = {**repulsion, **chosen}
    return network


def _module_of_neurochem(files: neurochem.Files, network: Mapping[str, Any]) -> Any:
    """The model as torchani itself reads it."""
    species = network["species"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchani.neurochem as own

    if hasattr(own, "load_aev_computer_and_symbols"):
        from torchani.arch import ANI
        from torchani.nn import Ensemble

        computer, _ = own.load_aev_computer_and_symbols(files.constants)
        members = [own.load_member(species, folder) for folder in files.members]
        model = ANI(species, computer, Ensemble(members), own.load_sae(files.self_energies))
        # torchani 2.9 rounds them to float32.
        energies = [network["references"][symbol] / HARTREE for symbol in species]
        model.energy_shifter.self_energies = torch.tensor(energies, dtype=torch.float64)
        return model.requires_grad_(False)
    import torchani
    from torchani.models import BuiltinEnsemble

    constants = own.Constants(str(files.constants))
    shifter, energies_by_symbol = own.load_sae(str(files.self_energies), return_dict=True)
    members = [own.load_model(constants.species, str(folder)) for folder in files.members]
    return BuiltinEnsemble(
        torchani.SpeciesConverter(constants.species),
        torchani.AEVComputer(**constants),
        torchani.Ensemble(members),
        shifter,
        constants.species_to_tensor,
        constants,
        energies_by_symbol,
        periodic_table_index=False,
    )


def _module_of_file(path: Path, head: str | None) -> Any:
    """The model in a state_dict, or a whole model."""
    try:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            content = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, AttributeError, EOFError, RuntimeError) as error:
        raise ReadingError(f"{path} is no file of torch.save ({first_line(error)})") from None
    if isinstance(content, torch.nn.Module):
        return content
    if not isinstance(content, dict) or not all(
        isinstance(one, Tensor) for one in content.values()
    ):
        raise ReadingError(
            f"{path} holds a {type(content).__name__}, expected a state_dict of torchani 2.9 or a "
            "whole model"
        )
    return _module_of_state(path, content, head)


def _module_of_state(path: Path, state: dict[str, Tensor], head: str | None) -> Any:
    """The model of torchani with this name, with the tensors of the file."""
    try:
        import torchani.arch
        import torchani.models
    except ImportError:
        raise ReadingError(
            f"{path} is a state_dict, which torchani 2.9 reads, but torchani {version('torchani')} "
            "is installed"
        ) from None
    stem = path.stem.lower().removesuffix("_state_dict")
    name = head or next((one for one in NAMES if one.lower() == stem), None)
    if name not in NAMES:
        problem = f"'{head}' is no model" if head else "the name of the file is no model's"
        raise ReadingError(
            f"{path}: a state_dict does not say cutoff functions and activation, and {problem}; "
            f"name it by the head, expected {' | '.join(NAMES)} (simple_ani with its own "
            "defaults), or save the whole model with torch.save"
        )
    fetch = torchani.models._fetch_state_dict
    try:
        # The file's tensors in place of those that torchani would download.
        torchani.models._fetch_state_dict = lambda *_, **__: OrderedDict(state)
        model = _simple_ani(state) if name == "simple_ani" else getattr(torchani.models, name)()
    except (RuntimeError, KeyError, ValueError) as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ReadingError(f"{path} does not fit the model {name} ({lines})") from None
    finally:
        torchani.models._fetch_state_dict = fetch
    return model


def _simple_ani(state: Mapping[str, Tensor]) -> Any:
    """The model of `torchani.arch.simple_ani` with the sizes of a state_dict."""
    from torchani.arch import simple_ani
    from torchani.constants import PERIODIC_TABLE

    nnp = "potentials.nnp."
    radial, angular = (
        {
            key: state[f"{nnp}aev_computer.{kind}.{key}"].tolist()
            for key in ("eta", "shifts", "zeta", "sections")
            if f"{nnp}aev_computer.{kind}.{key}" in state
        }
        for kind in ("radial", "angular")
    )
    prefix = f"{nnp}neural_networks.members."
    members = {key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)}
    arguments = {
        "symbols": [PERIODIC_TABLE[number] for number in state["atomic_numbers"].tolist()],
        "lot": "wb97x-631gd",
        "ensemble_size": max(len(members), 1),
        "radial_start": radial["shifts"][0],
        "radial_cutoff": _end_of(radial["shifts"]),
        "radial_shifts": len(radial["shifts"]),
        "radial_precision": radial["eta"][0],
        "angular_start": angular["shifts"][0],
        "angular_cutoff": _end_of(angular["shifts"]),
        "angular_shifts": len(angular["shifts"]),
        "angular_precision": angular["eta"][0],
        "angular_zeta": angular["zeta"][0],
        "sections": len(angular["sections"]),
        "repulsion": any(key.startswith("potentials.repulsion_xtb.") for key in state),
        "bias": any(key.endswith("final_layer.bias") for key in state),
        "self_energies": "zero",  # those of the file follow
    }
    for widths in ("like_2x", "like_1x", "like_dr", "like_ala"):
        model = simple_ani(container_ctor=widths, **arguments)
        own = model.state_dict()
        if all(key in own and own[key].shape == value.shape for key, value in state.items()):
            break
    model.load_state_dict(state)
    return model.requires_grad_(False)


def _end_of(shifts: Sequence[float]) -> float:
    """The cutoff of evenly spaced shifts, of which torchani leaves out the last."""
    return round(shifts[-1] + shifts[1] - shifts[0], 5)


def _of_module(model: Any) -> dict[str, Any]:
    """Plain values of a model of torchani 2.9."""
    _expect(model, "ANI", "the model")
    repulsion = None
    for name, term in model.potentials.items():
        if name == "nnp":
            _expect(term, "NNPotential", "its network")
        elif term._enabled:
            _expect(term, "RepulsionXTB", f"its term {name}")
            repulsion = _repulsion(term)
    computer = model.potentials["nnp"].aev_computer
    radial, angular = computer.radial, computer.angular
    _expect(radial, "ANIRadial", "its radial part")
    _expect(angular, "ANIAngular", "its angular part")
    networks = model.potentials["nnp"].neural_networks
    members = [networks]
    if type(networks).__name__ == "Ensemble":
        members = [networks.members[k] for k in networks.active_members_idxs]
    for member in members:
        _expect(member, "ANINetworks", "its networks")
    species = list(model.symbols)
    own = [[member.atomics[symbol] for symbol in species] for member in members]
    kinds = [_activation(network) for member in own for network in member]
    if any(kind != kinds[0] for kind in kinds):
        raise ReadingError("its networks differ in their activation")
    energies = [0.0] * len(species)
    if model.energy_shifter._enabled:
        energies = model.energy_shifter.self_energies.double().tolist()
    return _network(
        species,
        {
            "EtaR": radial.eta,
            "ShfR": radial.shifts,
            "EtaA": angular.eta,
            "Zeta": angular.zeta,
            "ShfA": angular.shifts,
            "ShfZ": angular.sections,
        },
        (float(radial.cutoff), float(angular.cutoff)),
        _cutoff_function(radial.cutoff_fn),
        kinds[0],
        [[_layers(network) for network in member] for member in own],
        {symbol: HARTREE * one for symbol, one in zip(species, energies, strict=True)},
        repulsion,
    )


def _expect(part: Any, name: str, place: str) -> None:
    """Only the classes whose formulas are known: a derived one may compute something else."""
    if type(part).__name__ != name or type(part).__module__.split(".")[0] != MODULE:
        raise ReadingError(
            f"{place} is a {type(part).__module__}.{type(part).__name__}, which is not supported, "
            f"expected torchani's {name}"
        )


def _layers(network: Any) -> Layers:
    _expect(network, "AtomicNetwork", "a network")
    linear = [*network.layers, network.final_layer]
    none = [one.weight.new_zeros(one.out_features) for one in linear]
    return [
        (
            one.weight.detach().double().t(),
            (zeros if one.bias is None else one.bias).detach().double(),
        )
        for one, zeros in zip(linear, none, strict=True)
    ]


def _activation(network: Any) -> dict[str, Any]:
    activation = network.activation
    kind = type(activation).__name__
    if kind == "TightCELU":
        return {"kind": "celu", "alpha": 0.1}
    if kind == "CELU":
        return {"kind": "celu", "alpha": float(activation.alpha)}
    if kind == "GELU" and activation.approximate == "none":
        return {"kind": "gelu"}
    raise ReadingError(
        f"its networks have the activation {activation}, expected TightCELU | CELU | GELU"
    )


def _cutoff_function(function: Any) -> dict[str, Any]:
    kind = type(function).__name__
    if kind == "CutoffCosine":
        return {"kind": "cosine"}
    if kind == "CutoffSmooth":
        return {"kind": "smooth", "order": function.order, "epsilon": function.eps}
    raise ReadingError(f"its cutoff function is {kind}, expected CutoffCosine | CutoffSmooth")


def _repulsion(term: Any) -> dict[str, Any]:
    if term.cutoff == float("inf"):
        raise ReadingError(
            "its term RepulsionXTB has no cutoff, so that the model is not local, expected a "
            "finite one"
        )
    return {
        "cutoff": float(term.cutoff),
        "cutoff_function": _cutoff_function(term.cutoff_fn),
        "charges": term.y_ab.double(),
        "alpha": term.sqrt_alpha_ab.double(),
        "powers": term.k_rep_ab.double(),
    }
