"""eSCN-MD and eSEN of fairchem (https://github.com/facebookresearch/fairchem), and UMA, merged.

X. Fu et al., arXiv:2502.12147 (eSEN); B. M. Wood et al., arXiv:2506.23971 (UMA).

An inference checkpoint is a pickle that names classes to be built: reading it runs code, so it must
come from a source that the user trusts. fairchem's own prediction unit builds the model, with the
averaged weights; from it come energy references and normaliser, which fairchem keeps outside the
network.

The network turns each edge onto the y axis, and by a further angle about this axis, which fairchem
draws at random in every call. Its convolutions commute with that rotation, so the energy does not
depend on the angle; here the angle is zero.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .elements import SYMBOLS
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "fairchem.core"
INSTALL = ("torch==2.13.0", "fairchem-core==2.24.0", "setuptools==80.9.0")
READS = "inference checkpoints of eSCN-MD and eSEN; of UMA, merged for one composition"
WAY = "graph"

_BACKBONES = ("eSCNMDBackbone", "eSCNMDMoeBackbone")
_HEADS = ("MLP_EFS_Head", "MLP_Energy_Head", "Linear_Energy_Head")
_PLACEHOLDER = "HH"  # atoms of the structure with which fairchem prepares a model


def open_model(wish: Wish) -> Source:
    """Read an inference checkpoint of fairchem.

    Args:
        wish: `head` is a data set of the checkpoint, which chooses task, head and embedding. What
            is fixed with it may follow: `omol:charge=1,spin=2`. A mixture of experts is merged for
            one composition: `omat:composition=Na4Cl4`.

    Raises:
        ReadingError: the file is no such checkpoint, the model is not a function of the
            surroundings of each atom, or the wish does not fit it.
    """
    dtype = wish.dtype or "float32"
    fixed = _fixed(wish)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
        unit = _unit(Path(wish.model), dtype)
        task = _task(unit, wish.model, fixed)
        _refuse(unit.model.module, wish.model)
        calculator, info = _prepared(unit, wish.model, task.datasets[0], fixed)
    backbone = unit.model.module.backbone
    symbols = _species(task, fixed, wish)
    scale = _scale(task, wish.model)
    references = _references(task, symbols)
    system = backbone.csd_embedding(
        torch.tensor([info["charge"]]), torch.tensor([info["spin"]]), [fixed.dataset]
    )
    network = EnergyOfAtoms(
        backbone, _energy_block(unit, wish.model, task), symbols, system, scale, references
    )
    return Source(
        species=symbols,
        cutoff=float(backbone.cutoff),
        layers=int(backbone.num_layers) + 1,  # the embedding of the edges is a pass of its own
        dtypes=("float32", "float64"),
        own_results=_own_results(calculator, info),
        energies=network.eval().requires_grad_(False),
        provenance={
            "package": "fairchem-core",
            "version": version("fairchem-core"),
            "model": unit.model.module.model_id or Path(wish.model).name,
            "file": Path(wish.model).name,
            "weights": "averaged",
            "head": str(fixed.dataset),
            "charge": str(info["charge"]),
            "spin": str(info["spin"]),
            **({"composition": fixed.composition} if fixed.composition else {}),
        },
        notes=(*_notes(backbone, fixed, info), _reference_note(symbols, references)),
    )


@dataclass
class Fixed:
    """What of the whole system enters the energy, and is fixed where the model is read."""

    dataset: str | None
    charge: int | None = None
    spin: int | None = None
    composition: str | None = None

    @property
    def elements(self) -> list[str]:
        """Symbols of the composition, each once."""
        return list(dict.fromkeys(_atoms_of(self.composition or "")))


class EnergyOfAtoms(torch.nn.Module):
    """The energies of atoms (eV) as a function of edge vectors, with fairchem's own modules.

    Args:
        backbone: of fairchem, without experts.
        energy_block: features of an atom to its energy.
        symbols: chemical symbols, in the order of the species codes.
        system: embedding of charge, spin and data set, [1, C].
        scale: factor of the energies (eV).
        references: added to the energies, by species code (eV), float64.
    """

    numbers: Tensor
    system: Tensor
    references: Tensor

    def __init__(
        self,
        backbone: Any,
        energy_block: torch.nn.Module,
        symbols: list[str],
        system: Tensor,
        scale: float,
        references: Tensor,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.energy_block = energy_block
        self.scale = scale
        self.register_buffer("numbers", torch.tensor([SYMBOLS.index(one) for one in symbols]))
        self.register_buffer("system", system.detach())
        self.register_buffer("references", references)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        edge_vectors, edge_index = self.with_extra_edge(edge_vectors, edge_index)
        counts = [count + 1 for count in edge_counts]
        rotation, back = self.rotations(edge_vectors)
        edges, envelope = self.edge_features(self.numbers[species], edge_vectors, edge_index)
        back = back * envelope
        x = self.first_features(species[: node_counts[-2]], edges, edge_index[1], back)
        for k, block in enumerate(self.backbone.blocks):
            n, e = node_counts[-3 - k], counts[-2 - k]
            sent = self.with_system(block.norm_1(x))
            messages = self.messages(
                block.edge_wise, sent, n, edges[:e], edge_index[:, :e], rotation[:e], back[:e]
            )
            x = x[:n] + messages
            x = x + block.atom_wise(block.norm_2(x))
        x = self.backbone.norm(x)
        network = self.energy_block(x[:, 0]).squeeze(1).to(self.references.dtype)
        energies = network * self.scale + self.references[species[: node_counts[0]]]
        return torch.nn.functional.pad(energies, [0, species.size(0) - energies.size(0)])

    def with_extra_edge(self, edge_vectors: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """The edges, and before them one of atom 0 beyond the cutoff, which contributes zero.

        fairchem adds it, too, where a structure has no edges, which its convolutions do not allow.
        """
        extra = torch.full_like(self.system[:1, :1], self.backbone.cutoff + 1.0).expand(1, 3)
        vectors = torch.cat([extra, edge_vectors.to(extra.dtype)])
        return vectors, torch.cat([edge_index.new_zeros([2, 1]), edge_index], 1)

    def rotations(self, edge_vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Wigner matrices that turn each edge onto the y axis, and back: two of [E, m, l]."""
        backbone = self.backbone
        data = backbone.wigner_data
        hybrid = import_module(
            "fairchem.core.models.uma.common.quaternion.wigner_d_hybrid"
        ).axis_angle_wigner_hybrid
        rotation, back = hybrid(
            edge_vectors,
            backbone.lmax,
            gamma=torch.zeros_like(edge_vectors[:, 0]),
            coeffs=data.coeffs,
            U_blocks=data.U_blocks,
            custom_kernels=data.custom_kernels,
        )
        index = backbone.coefficient_index if backbone.mmax != backbone.lmax else None
        pair: tuple[Tensor, Tensor] = backbone.backend.prepare_wigner(
            rotation, back, backbone.mappingReduced, index
        )
        return pair

    def edge_features(
        self, numbers: Tensor, edge_vectors: Tensor, edge_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Invariant features of the edges, [E, F], and the envelope, [E, 1, 1]."""
        backbone = self.backbone
        distance = torch.linalg.norm(edge_vectors, dim=-1)
        features = [
            backbone.distance_expansion(distance),
            backbone.source_embedding(numbers[edge_index[0]]),
            backbone.target_embedding(numbers[edge_index[1]]),
        ]
        envelope = backbone.envelope(distance / backbone.cutoff)
        return torch.cat(features, dim=1), envelope.reshape(-1, 1, 1)

    def first_features(
        self, species: Tensor, edges: Tensor, target: Tensor, back: Tensor
    ) -> Tensor:
        """Features of atoms of their elements and edges, [n, l, C]."""
        backbone = self.backbone
        scalars = backbone.sphere_embedding(self.numbers[species]) + self.system
        x = torch.nn.functional.pad(scalars.unsqueeze(1), [0, 0, 0, backbone.sph_feature_size - 1])
        features: Tensor = backbone.edge_degree_embedding.forward_chunk(x, edges, target, back)
        return features

    def messages(
        self,
        convolution: Any,
        x: Tensor,
        count: int,
        edges: Tensor,
        edge_index: Tensor,
        rotation: Tensor,
        back: Tensor,
    ) -> Tensor:
        """Sums of the messages to the first `count` atoms, [count, l, C]."""
        backend = convolution.backend
        turned = backend.node_to_edge_wigner_permute(x, edge_index, rotation)
        turned, gates = convolution.so2_conv_1(turned, edges)
        turned = convolution.so2_conv_2(convolution.act(gates, turned))
        sums: Tensor = backend.permute_wigner_inv_edge_to_node(turned, back, edge_index[1], count)
        return sums

    def with_system(self, x: Tensor) -> Tensor:
        """Features of atoms [n, l, C] with the embedding of the system added to the scalars."""
        return torch.cat([x[:, :1] + self.system, x[:, 1:]], dim=1)


def _fixed(wish: Wish) -> Fixed:
    """What the head fixes: `omol:charge=1,spin=2,composition=H2O`."""
    dataset, _, rest = (wish.head or "").partition(":")
    fixed = Fixed(dataset or None)
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key in ("charge", "spin") and re.fullmatch(r"-?\d+", value):
            setattr(fixed, key, int(value))
        elif key == "composition" and _atoms_of(value):
            fixed.composition = value
        else:
            raise ReadingError(
                f"head has '{item}', expected charge=, spin= with a whole number, or "
                "composition= with a chemical formula such as Na4Cl4"
            )
    return fixed


def _atoms_of(formula: str) -> list[str]:
    """The symbols of a formula, each as often as it counts; none for anything else."""
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    if "".join(symbol + count for symbol, count in parts) != formula:
        return []
    if any(symbol not in SYMBOLS[1:] for symbol, _ in parts):
        return []
    return [symbol for symbol, count in parts for _ in range(int(count or 1))]


def _unit(path: Path, dtype: str) -> Any:
    """fairchem's prediction unit of a checkpoint, in a float type."""
    if not path.is_file():
        raise ReadingError(f"{path}: no such file, expected an inference checkpoint of fairchem")
    predict = import_module("fairchem.core.units.mlip_unit.predict")
    settings = import_module("fairchem.core.units.mlip_unit").InferenceSettings(
        activation_checkpointing=False,
        merge_mole=True,
        compile=False,
        use_quaternion_wigner=True,
        execution_mode="general",
        base_precision_dtype=dtype,
    )
    try:
        return predict.MLIPPredictUnit(str(path), device="cpu", inference_settings=settings)
    except Exception as error:  # fairchem, hydra and torch raise many kinds
        raise ReadingError(
            f"{path}: not a readable inference checkpoint of fairchem ({first_line(error)})"
        ) from None


def _task(unit: Any, name: str, fixed: Fixed) -> Any:
    """The task that describes the energies of the chosen data set."""
    tasks = {
        dataset: [task for task in tasks if task.property == "energy" and task.level == "system"]
        for dataset, tasks in unit.dataset_to_tasks.items()
    }
    known = sorted(dataset for dataset, energies in tasks.items() if energies)
    if not known:
        raise ReadingError(f"{name} has no task for energies, expected one")
    if fixed.dataset is None and len(known) == 1:
        fixed.dataset = known[0]
    if fixed.dataset not in known:
        what = f"has no data set '{fixed.dataset}'" if fixed.dataset else "has several data sets"
        raise ReadingError(f"{name} {what}, expected head to be {' | '.join(known)}")
    energies = tasks[fixed.dataset]
    if len(energies) > 1:
        names = " ".join(task.name for task in energies)
        raise ReadingError(f"{name} has several tasks for energies of {fixed.dataset}: {names}")
    return energies[0]


def _refuse(model: Any, name: str) -> None:
    """Refuse a model that is not a smooth function of the surroundings of each atom."""
    backbone = model.backbone
    kind = type(backbone).__name__
    if kind not in _BACKBONES:
        raise ReadingError(f"{name} has a {kind}, expected an eSCN-MD ({' | '.join(_BACKBONES)})")
    if backbone.regress_config.direct_forces:
        raise ReadingError(
            f"{name} predicts forces that are not the derivative of its energy, expected a model "
            "with direct_forces: false"
        )
    balanced = [
        what
        for what in ("charge", "spin")
        if getattr(backbone, f"{what}_channel_end") > getattr(backbone, f"{what}_channel_start")
    ]
    if balanced:
        raise ReadingError(
            f"{name} balances {' and '.join(balanced)} over the whole system in each layer, so "
            "atoms act on each other at any distance: it cannot be divided among domains"
        )
    if any(block.edge_wise.act_type != "gate" for block in backbone.blocks):
        raise ReadingError(
            f"{name} has act_type 's2': its energy depends on an angle that fairchem draws at "
            "random in each call, expected 'gate'"
        )


def _prepared(unit: Any, name: str, dataset: str, fixed: Fixed) -> tuple[Any, dict[str, int]]:
    """fairchem's calculator after its first call, which merges experts; charge and spin."""
    from ase import Atoms

    experts = int(getattr(unit.model.module.backbone, "num_experts", 0))
    if experts and not fixed.composition:
        raise ReadingError(
            f"{name} mixes {experts} experts by the composition of the whole system, so it is a "
            "function of the surroundings of an atom for one composition only: name it, as in "
            f"'{fixed.dataset}:composition=Na4Cl4'"
        )
    if fixed.composition and not experts:
        raise ReadingError(
            f"{name} has no mixture of experts, expected a head without composition="
        )
    symbols = _atoms_of(fixed.composition or _PLACEHOLDER)
    atoms = Atoms(symbols, [(1.5 * k, 0.0, 0.0) for k in range(len(symbols))], pbc=True)
    atoms.cell = [1.5 * len(symbols), 20.0, 20.0]
    given = {"charge": fixed.charge, "spin": fixed.spin}
    atoms.info.update({key: value for key, value in given.items() if value is not None})
    try:
        unit.validate_atoms_data(atoms, fixed.dataset)
    except (TypeError, ValueError) as error:
        raise ReadingError(f"{name}: {error}") from None
    calculator = import_module("fairchem.core.calculate.ase_calculator").FAIRChemCalculator(
        unit, task_name=fixed.dataset
    )
    calculator.calculate(atoms, ["energy"], [])
    # A merged model otherwise merges anew, for the composition of each structure.
    unit.model.module.on_predict_check = lambda data: None
    return calculator, {key: int(atoms.info[key]) for key in ("charge", "spin")}


def _species(task: Any, fixed: Fixed, wish: Wish) -> list[str]:
    """The elements: those wished, of the composition, or with a reference energy."""
    if fixed.composition:
        wished = list(wish.species or fixed.elements)
        if set(wished) != set(fixed.elements):
            raise ReadingError(
                f"species is '{' '.join(wished)}', but the experts are merged for "
                f"{fixed.composition}, expected {' '.join(fixed.elements)}"
            )
        return wished
    limit = len(SYMBOLS)
    if wish.species:
        if unknown := [one for one in wish.species if one not in SYMBOLS[1:limit]]:
            raise ReadingError(f"species has '{unknown[0]}', expected chemical symbols")
        return list(wish.species)
    if task.element_references is None:
        raise ReadingError(
            f"{wish.model} does not tell its elements: it has no reference energies, expected "
            "species to be named"
        )
    values = task.element_references.element_references.tolist()
    return [SYMBOLS[z] for z, value in enumerate(values) if z and value != 0.0]


def _scale(task: Any, name: str) -> float:
    """The factor of the normaliser, whose mean must be zero."""
    if float(task.normalizer.mean) != 0.0:
        raise ReadingError(
            f"{name}: the normaliser of {task.name} adds {float(task.normalizer.mean):g} eV to "
            "each structure, which is the energy of no atom, expected a mean of zero"
        )
    return float(task.normalizer.rmsd)


def _references(task: Any, symbols: list[str]) -> Tensor:
    """Reference energies by species code (eV), float64; zero without."""
    if task.element_references is None:
        return torch.zeros(len(symbols), dtype=torch.float64)
    values: Tensor = task.element_references.element_references.to(torch.float64)
    return values[torch.tensor([SYMBOLS.index(one) for one in symbols])]


def _energy_block(unit: Any, name: str, task: Any) -> torch.nn.Module:
    """The part of the task's head that makes energies of features; one that sums over atoms."""
    model = unit.model.module
    candidates = []
    for key, head in model.output_heads.items():
        inner = getattr(head, "head", head)
        prefix = getattr(inner, "prefix", None)
        names = {key, *(f"{one}_energy" for one in getattr(head, "dataset_names", ()))}
        names.add(f"{prefix}_energy" if prefix else "energy")
        if task.name in names and hasattr(inner, "energy_block"):
            candidates.append(inner)
    kinds = [type(one).__name__ for one in candidates]
    if len(candidates) != 1 or kinds[0] not in _HEADS:
        heads = ", ".join(
            f"{key} ({type(one).__name__})" for key, one in model.output_heads.items()
        )
        raise ReadingError(
            f"{name}: the energies of {task.name} come from none or several of the heads {heads}, "
            f"expected one {' | '.join(_HEADS)}"
        )
    if candidates[0].reduce != "sum":
        raise ReadingError(
            f"{name}: its energy is the mean over the atoms of a structure, expected a head with "
            "reduce: sum"
        )
    block: torch.nn.Module = candidates[0].energy_block
    return block


def _own_results(calculator: Any, info: dict[str, int]) -> Callable[[Structure], Results]:
    """Results of fairchem's calculator, with charge and spin as they are fixed."""
    from ase import Atoms

    def results(structure: Structure) -> Results:
        atoms = Atoms(
            list(structure.symbols), structure.positions, cell=structure.cell, pbc=structure.pbc
        )
        atoms.info.update(info)
        calculator.calculate(atoms, ["energy", "forces", "stress"], [])
        found = calculator.results
        stress = found.get("stress") if all(structure.pbc) else None
        return Results(float(found["energy"]), found["forces"], stress)

    return results


def _reference_note(symbols: list[str], references: Tensor) -> str:
    """The reference energies, which are not those of isolated atoms."""
    values = " ".join(f"{one} {e:g}" for one, e in zip(symbols, references.tolist(), strict=True))
    return f"reference energies in the energies: {values} eV"


def _notes(backbone: Any, fixed: Fixed, info: dict[str, int]) -> tuple[str, ...]:
    notes = [
        f"fixed: data set {fixed.dataset}, charge {info['charge']}, spin {info['spin']} of the "
        "whole system",
        f"fairchem's calculator keeps about {backbone.max_neighbors} neighbours of an atom at "
        "most; here all within the cutoff count",
    ]
    if fixed.composition:
        notes.append(
            f"experts merged for {fixed.composition}: valid for systems of this composition, and "
            "compared with fairchem's merged model without its check of the composition"
        )
    return tuple(notes)
