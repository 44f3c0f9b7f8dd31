"""Checkpoints of small CHGNets with random weights, and their results in float64.

    PYTHON random_models.py IMPORTERS OUTPUT

Runs where chgnet is installed; IMPORTERS is the folder of `torchml.importers`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import numpy as np
import torch
from ase.build import bulk, molecule
from ase.data import atomic_numbers, covalent_radii
from chgnet.model.model import CHGNet
from reading.chgnet import of_file, open_model, source_of
from reading.handing_over import content_of
from reading.source import ReadingError, Structure, Wish

SMALL = {
    "atom_fea_dim": 6,
    "bond_fea_dim": 5,
    "angle_fea_dim": 4,
    "num_radial": 7,
    "num_angular": 5,
    "n_conv": 3,
    "atom_conv_hidden_dim": 8,
    "bond_conv_hidden_dim": 7,
    "mlp_hidden_dims": [6, 5],
    "atom_graph_cutoff": 4.5,
    "bond_graph_cutoff": 2.8,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "layer norms": {},
    "norms of convolutions": {"conv_norm": "layer", "mlp_out_bias": True, "n_conv": 4},
    "batch norms": {"conv_norm": "batch", "gMLP_norm": "batch", "readout_norm": "batch"},
    "no norms": {
        "gMLP_norm": None,
        "readout_norm": None,
        "mlp_out_bias": True,
        "atom_conv_hidden_dim": [8, 7],
        "bond_conv_hidden_dim": 0,
        "angle_layer_hidden_dim": 6,
        "non_linearity": "tanh",
    },
    "no updates of angles": {"update_angle": False, "non_linearity": "gelu", "cutoff_coeff": 5},
    "no bonds": {"update_bond": False, "learnable_rbf": False},
    "one layer": {"n_conv": 1, "composition_model": None, "final_mlp": "gated"},
}
REFUSED: dict[str, dict[str, Any]] = {
    "mean of features": {"mlp_first": False, "read_out": "attn"},
    "extensive": {"is_intensive": False},
    "no cutoff": {"cutoff_coeff": 0},
}


def main() -> None:
    """Write checkpoints, and what the adapter and chgnet make of them."""
    output = Path(sys.argv[2])
    torch.set_num_threads(1)
    found: dict[str, Any] = {"networks": {}, "results": {}, "refused": {}, "structures": plain()}
    sources = {}
    for name, options in VARIANTS.items():
        path = write(output / f"{name}.pth.tar", options)
        wish = Wish(str(path), species=["Si", "O", "H", "Mg"])
        sources[name] = source_of(of_file(path), wish)
        found["networks"][name] = dict(sources[name].network or {})
    for name, options in REFUSED.items():
        path = write(output / f"{name}.pth.tar", options)
        try:
            source_of(of_file(path), Wish(name))
        except ReadingError as error:
            found["refused"][name] = str(error)
    found["errors"] = errors(output)
    found["shipped"] = shipped()
    for name, source in sources.items():
        assert source.exact_results is not None
        results = {key: source.exact_results(one) for key, one in structures().items()}
        found["results"][name] = {
            key: [torch.tensor(one) for one in (own.energies, own.forces, own.stress)]
            for key, own in results.items()
        }
        found["results"][name]["isolated"] = dict(source.isolated)
    torch.save(found, output / "found")


def errors(folder: Path) -> dict[str, str]:
    """What is said of models that cannot be read."""
    torch.save({"weights": torch.zeros(3)}, folder / "other.pt")
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    path = str(folder / "layer norms.pth.tar")
    wishes = {
        "name": Wish("0.4.0"),
        "other": Wish(str(folder / "other.pt")),
        "module": Wish(str(folder / "module.pt")),
        "head": Wish(path, head="pbe"),
        "species": Wish(path, species=["Si", "Cm"]),
    }
    found = {}
    for name, wish in wishes.items():
        try:
            open_model(wish)
        except ReadingError as error:
            found[name] = str(error)
    return found


def shipped() -> dict[str, Any]:
    """What is handed over of 0.3.0, and its results in float32, as chgnet computes them."""
    wish = Wish("0.3.0", species=["Mg", "O", "H", "Si"])
    source = open_model(wish)
    assert source.own_results is not None
    radii = {symbol: float(covalent_radii[atomic_numbers[symbol]]) for symbol in source.species}
    found: dict[str, Any] = {"content": content_of(source, wish, radii)}
    for name, structure in structures().items():
        own = source.own_results(structure)
        values = own.energy, own.forces, own.stress
        found[name] = [torch.as_tensor(one, dtype=torch.float64) for one in values]
    return found


def write(path: Path, options: dict[str, Any]) -> Path:
    """A checkpoint as chgnet's Trainer saves it, with weights and statistics at random."""
    torch.manual_seed(len(str(path.name)))
    model = CHGNet(**{**SMALL, **options})
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value += 0.3 * torch.randn(value.shape)
        model.bond_weights_bg.weight *= 10  # angles matter
    torch.save({"model": model.as_dict(), "optimizer": {}, "trainer_args": {}}, path)
    return path


def structures() -> dict[str, Structure]:
    """A crystal with many images of a pair, a slab outside of its cell, a molecule, no angles."""
    pair = bulk("SiO", "zincblende", 5.2)
    pair.rattle(0.1, seed=1)
    slab = bulk("MgO", "rocksalt", 4.2, cubic=True)
    slab.rattle(0.1, seed=2)
    slab.pbc = (True, True, False)
    slab.positions[:, 2] -= 7.0
    water = molecule("H2O", vacuum=4.0)
    sparse = bulk("Si", "sc", 4.1)
    found = {"pair": pair, "slab": slab, "molecule": water, "sparse": sparse}
    return {
        name: Structure(list(one.symbols), one.positions, one.cell.array, tuple(one.pbc))
        for name, one in found.items()
    }


def plain() -> dict[str, Any]:
    return {
        name: {
            "symbols": list(one.symbols),
            "positions": torch.tensor(one.positions),
            "cell": torch.tensor(np.array(one.cell)),
            "pbc": [bool(axis) for axis in one.pbc],
        }
        for name, one in structures().items()
    }


if __name__ == "__main__":
    main()
