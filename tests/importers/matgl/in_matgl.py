"""Write potentials of matgl with random weights, and what matgl computes with them: FOLDER.

It runs in matgl's environment, with the adapters (the package `reading`) and `staged_lists` on the
path. FOLDER contains structures.traj; results are written to answers.json.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import ase.io
import torch
from matgl.apps.pes import Potential
from matgl.models import CHGNet, M3GNet, TensorNet
from plain_results import plain
from reading import matgl as adapter
from reading.edges import edges_of
from reading.source import ReadingError, Structure, Wish
from staged_lists import difference

ELEMENTS = ("Na", "Cl", "O")
SMALL = {"element_types": ELEMENTS, "cutoff": 3.6, "units": 8, "nblocks": 2, "is_intensive": False}
PAIRS = {"threebody_cutoff": 3.4, "dim_node_embedding": 8, "dim_edge_embedding": 8}
NETWORKS: dict[str, tuple[type, dict[str, Any]]] = {
    "tensornet": (TensorNet, {"num_rbf": 8, "nblocks": 1}),
    "rotations": (
        TensorNet,
        {
            "equivariance_invariance_group": "SO(3)",
            "rbf_type": "SphericalBessel",
            "use_smooth": True,
        },
    ),
    "m3gnet": (M3GNet, {**PAIRS, "use_smooth": True}),
    "rough": (M3GNet, {**PAIRS, "use_smooth": False}),
    "average": (TensorNet, {"is_intensive": True}),
    "angles": (M3GNet, {**PAIRS, "use_phi": True}),
}
SCALE = {"tensornet": 300.0, "rotations": 300.0, "m3gnet": 1000.0, "rough": 1000.0}


def write(folder: Path, name: str, **options: Any) -> None:
    """Save a potential."""
    torch.manual_seed(4)
    kind, changes = NETWORKS.get(name, NETWORKS["tensornet"])
    network = kind(**{**SMALL, **changes})
    options = {
        "data_std": SCALE.get(name, 1.0),
        "element_refs": [-31.5, -42.5, -17.0],
        **options,
    }
    Potential(network, **options).save(folder / name)


def write_all(folder: Path) -> None:
    """Potentials that can be read, and those that cannot."""
    for name in NETWORKS:
        write(folder, name)
    write(folder, "mean", data_mean=2.0)
    write(folder, "repulsion", calc_repuls=True)
    write(folder, "lacking")
    state = torch.load(folder / "lacking" / "state.pt", weights_only=True)
    state.pop("model.linear.weight")
    torch.save(state, folder / "lacking" / "state.pt")
    write(folder, "stranger")
    described = json.loads((folder / "stranger" / "model.json").read_text())
    described["@module"] = "os.path"
    (folder / "stranger" / "model.json").write_text(json.dumps(described))
    TensorNet(**{**SMALL, "num_rbf": 8}).save(folder / "bare")
    torch.manual_seed(4)
    Potential(CHGNet(element_types=ELEMENTS, is_intensive=False)).save(folder / "chgnet")


def answers(folder: Path) -> dict[str, Any]:
    """What matgl's calculator computes, differences of two ranks from one, and refusals."""
    structures = [
        Structure(one.get_chemical_symbols(), one.positions, one.cell.array, tuple(one.pbc))
        for one in ase.io.read(folder / "structures.traj", ":")
    ]
    found: dict[str, Any] = {"results": {}, "ranks": {}, "facts": {}, "refusals": {}}
    for name in ("tensornet", "rotations", "m3gnet", "rough"):
        source = adapter.open_model(Wish(str(folder / name), None, None, "float64"))
        found["facts"][name] = [source.species, source.cutoff, source.layers, *source.notes]
        found["ranks"][name] = difference(
            source, structures[0], edges_of(structures[0], source.cutoff), torch.float64
        )
        found["results"][name] = [plain(source.own_results(one)) for one in structures]
    for name in (
        "average",
        "angles",
        "mean",
        "repulsion",
        "lacking",
        "stranger",
        "bare",
        "chgnet",
        "absent",
    ):
        try:
            adapter.open_model(Wish(str(folder / name)))
        except ReadingError as error:
            found["refusals"][name] = str(error)
    for key, wish in {
        "head": Wish(str(folder / "tensornet"), None, "pbe"),
        "species": Wish(str(folder / "tensornet"), ["Na", "Si"]),
    }.items():
        try:
            adapter.open_model(wish)
        except ReadingError as error:
            found["refusals"][key] = str(error)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = Path(sys.argv[1])
    write_all(target)
    (target / "answers.json").write_text(json.dumps(answers(target)))
