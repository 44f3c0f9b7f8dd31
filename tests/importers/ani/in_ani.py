"""Write models of torchani with random weights, and what torchani computes with them: FOLDER.

It runs in torchani's environment, with the adapters (the package `reading`) on the path. FOLDER
contains structures.traj, and the models `neurochem` and `ani-1x_8x` in files of NeuroChem; results
are written to answers.json.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import ase.io
import torch
from ase import Atoms
from reading import ani as adapter
from reading import neurochem
from reading.source import ReadingError, Structure, Wish
from torchani.arch import simple_ani, simple_aniq

SMALL = {"symbols": ("H", "C", "O"), "lot": "wb97x-631gd", "container_ctor": "like_1x"}
COSINE = {"cutoff_fn": "cosine", "activation": "celu", "bias": True, "repulsion": False}
MODELS: dict[str, dict[str, Any]] = {
    "gelu": {"ensemble_size": 2},
    "celu": {**COSINE, "radial_cutoff": 5.2, "radial_precision": 16.0},
    "dispersion": {"dispersion": True},
    "endless": {"repulsion_cutoff": False},
    "shared": {"container": "ANISharedNetworks", "container_ctor": "default"},
    "tanh": {"activation": torch.nn.Tanh()},
    "biweight": {"cutoff_fn": "biweight"},
}


def write_all(folder: Path) -> dict[str, Any]:
    """Models as state_dict (NAME.pt) and whole (NAME.model), by name."""
    models = {}
    for name, options in MODELS.items():
        torch.manual_seed(4)
        models[name] = simple_ani(**{**SMALL, **options})
    models["charges"] = simple_aniq(**SMALL)
    for name, model in models.items():
        torch.save(model, folder / f"{name}.model")
        torch.save(model.state_dict(), folder / f"{name}.pt")
    # A file whose name is that of a published model with other sizes.
    torch.save(models["gelu"].state_dict(), folder / "ani2x_state_dict.pt")
    torch.save({"epoch": 3, "model": {}}, folder / "training.pt")
    (folder / "garbled.pt").write_bytes(b"no model at all")
    return models


def by_torchani(model: Any, atoms: Atoms) -> dict[str, Any]:
    """What torchani's calculator computes, as it is."""
    atoms.calc = model.double().ase()
    return {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress().tolist() if atoms.pbc.any() else None,
    }


def by_adapter(source: Any, atoms: Atoms) -> dict[str, Any]:
    """The same through the adapter."""
    found = source.own_results(
        Structure(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, tuple(atoms.pbc))
    )
    return {
        "energy": found.energy,
        "forces": found.forces.tolist(),
        "stress": None if found.stress is None else found.stress.tolist(),
    }


def committee_of_torchani(folder: Path, structures: list[Atoms]) -> list[float]:
    """`energies_qbcs` of a model in files of NeuroChem (Hartree), in float64."""
    files = neurochem.files_of(folder)
    model = adapter._module_of_neurochem(files, adapter.of_neurochem(files)).double()
    found = []
    for atoms in structures:
        # Along periodic directions torchani wants positions inside the cell.
        positions = torch.tensor(atoms.get_positions(wrap=True)).unsqueeze(0)
        box = {"cell": torch.tensor(atoms.cell.array), "pbc": torch.tensor(atoms.pbc)}
        numbers = torch.tensor(atoms.numbers).unsqueeze(0)
        qbcs = model.energies_qbcs((numbers, positions), **(box if atoms.pbc.any() else {})).qbcs
        found.append(float(qbcs[0]))
    return found


def answers(folder: Path) -> dict[str, Any]:
    """Results, facts and refusals."""
    structures = ase.io.read(folder / "structures.traj", ":")
    models = write_all(folder)
    found: dict[str, Any] = {"results": {}, "own": {}, "facts": {}, "refusals": {}}
    opened = {
        "gelu": Wish(str(folder / "gelu.pt"), None, "simple_ani"),
        "celu": Wish(str(folder / "celu.model")),
        "neurochem": Wish(str(folder / "neurochem")),
        "ANI-1x": Wish(str(folder / "ani-1x_8x")),
    }
    for name, wish in opened.items():
        source = adapter.open_model(wish)
        found["facts"][name] = [source.species, source.cutoff, source.provenance["members"]]
        found["own"][name] = [by_adapter(source, one) for one in structures]
    found["qbcs"] = committee_of_torchani(folder / "ani-1x_8x", structures)
    for name in ("gelu", "celu"):
        found["results"][name] = [by_torchani(models[name], one) for one in structures]
    refused = {
        **{name: Wish(str(folder / f"{name}.model")) for name in models if name not in opened},
        "no name": Wish(str(folder / "gelu.pt")),
        "other name": Wish(str(folder / "gelu.pt"), None, "ANI3"),
        "other model": Wish(str(folder / "ani2x_state_dict.pt")),
        "other defaults": Wish(str(folder / "shared.pt"), None, "simple_ani"),
        "no state_dict": Wish(str(folder / "training.pt")),
        "no model": Wish(str(folder / "garbled.pt")),
        "element": Wish(str(folder / "neurochem"), ["H", "Fe"]),
        "head": Wish(str(folder / "neurochem"), None, "ANI1x"),
        "absent": Wish("ANI2x"),
        "empty": Wish(str((folder / "ani-1x_8x").resolve().with_name("ani-2x_8x"))),
    }
    for name, wish in refused.items():
        try:
            adapter.open_model(wish)
        except ReadingError as error:
            found["refusals"][name] = str(error)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = Path(sys.argv[1])
    (target / "answers.json").write_text(json.dumps(answers(target)))
