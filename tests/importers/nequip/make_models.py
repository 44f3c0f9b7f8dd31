"""Make models of nequip, and read them as `torchml_export --from nequip` does: FOLDER READER.

The weights are random, but for one short training. The program runs in an environment that has
nequip and nequip-allegro, without TorchML; READER is the zip file that reads models. Each reading
leaves a file NAME.content, or NAME.error with one sentence.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols, covalent_radii
from ase.io import write
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from nequip.scripts import package
from nequip.train import EMALightningModule, NequIPLightningModule
from nequip.utils.global_state import get_latest_global_state, set_global_state
from nequip.utils.versions import get_current_code_versions

COMMON: dict[str, Any] = {
    "seed": 3,
    "model_dtype": "float64",
    "r_max": 4.0,
    "type_names": ["Cl", "Na"],
    "avg_num_neighbors": {"Cl": 9.0, "Na": 11.0},
    "per_type_energy_scales": {"Cl": 0.7, "Na": 1.3},
    "per_type_energy_shifts": {"Cl": -2.5, "Na": -1.0},
}
ZBL = {
    "_target_": "nequip.nn.pair_potential.ZBL",
    "chemical_species": ["Cl", "Na"],
    "units": "metal",
}
NEQUIP = COMMON | {
    "_target_": "nequip.model.NequIPGNNModel",
    "num_layers": 2,
    "l_max": 2,
    "parity": True,
    "num_features": 4,
    "radial_mlp_width": 8,
}
ALLEGRO = COMMON | {
    "_target_": "allegro.model.AllegroModel",
    "num_layers": 2,
    "l_max": 2,
    "parity": True,
    "num_scalar_features": 8,
    "num_tensor_features": 4,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"},
    "scalar_embed_mlp_hidden_layers_width": 8,
    "allegro_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 4,
}
DIRECTED = {"per_edge_type_cutoff": {"Na": {"Cl": 3.0}}}
NAMES = {
    "num_layers": 1,
    "l_max": 1,
    "type_names": ["anion", "cation"],
    "avg_num_neighbors": 9.0,
    "per_type_energy_scales": 0.7,
    "per_type_energy_shifts": None,
    "readout_mlp_hidden_layers_depth": 1,
    "readout_mlp_nonlinearity": "mish",
}
NORMS = {
    "_target_": "nequip.model.FullNequIPGNNModel",
    "irreps_edge_sh": "1x0e+1x1o",
    "type_embed_num_features": 4,
    "feature_irreps_hidden": ["4x0e+3x1o", "4x0e"],
    "radial_mlp_depth": [1, 1],
    "radial_mlp_width": [8, 8],
    "convnet_nonlinearity_type": "norm",
}
CHARGE = {
    "num_layers": 1,
    "l_max": 1,
    "categorical_graph_field_embed": [{"field": "charge", "num_features": 3, "min": -1, "max": 2}],
}
MODELS: dict[str, dict[str, Any]] = {
    "three-layers": NEQUIP | {"num_layers": 3, "model_dtype": "float32", "num_features": [6, 4, 2]},
    "directed": NEQUIP | DIRECTED | {"pair_potential": ZBL},
    "allegro": ALLEGRO | DIRECTED | {"pair_potential": ZBL},
    # Traced: the networks of torchml have gates and Bessel functions alone.
    "norms": COMMON | DIRECTED | NORMS,
    "spline": ALLEGRO
    | {"radial_chemical_embed": {"_target_": "allegro.nn.TwoBodySplineScalarEmbed"}},
    "names": NEQUIP | NAMES,
    "kcal": NEQUIP | {"num_layers": 1, "pair_potential": ZBL | {"units": "real"}},
    "charge": NEQUIP | CHARGE,
}
# Name of the reading: file, and fields of its wish.
READINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "three-layers": ("three-layers.ckpt", {}),
    "directed": ("directed.ckpt", {}),
    "other-order": ("directed.ckpt", {"species": ["Na", "Cl"]}),
    "one-species": ("directed.ckpt", {"species": ["Na"]}),
    "allegro": ("allegro.ckpt", {}),
    "norms": ("norms.ckpt", {}),
    "spline-single": ("spline.ckpt", {"dtype": "float32"}),
    "charge": ("charge.ckpt", {"head": "charge=1"}),
    "names": ("names.ckpt", {"species": ["F", "Li"]}),
    "trained": ("trained.ckpt", {}),
    "package": ("trained.nequip.zip", {}),
    # Refused:
    "no-charge": ("charge.ckpt", {}),
    "no-symbols": ("names.ckpt", {}),
    "no-such-species": ("directed.ckpt", {"species": ["Na", "K"]}),
    "no-such-head": ("directed.ckpt", {"head": "forces"}),
    "kcal": ("kcal.ckpt", {}),
    "swapped": ("swapped.ckpt", {}),
    "fine-tuned": ("fine-tuned.ckpt", {}),
    "extension": ("extension.ckpt", {}),
    "compiled": ("model.nequip.pt2", {}),
    "not-here": ("elsewhere.ckpt", {}),
    "other-file": ("data.xyz", {}),
}


def save(folder: Path, name: str, model: dict[str, Any]) -> None:
    """Write the checkpoint of a model that is not trained."""
    target = {"_target_": "nequip.train.NequIPLightningModule"}
    info = {"versions": get_current_code_versions(), "training_module": target | {"model": model}}
    module = NequIPLightningModule(
        model=model, num_datasets={"train": 1, "val": 0, "test": 0}, info_dict=info
    )
    trainer = lightning.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / f"{name}.ckpt")


def structures() -> list[Atoms]:
    random = np.random.default_rng(0)
    found = []
    for _ in range(6):
        atoms = bulk("NaCl", "rocksalt", 5.6)
        atoms.rattle(0.1, rng=random)
        atoms.calc = SinglePointCalculator(
            atoms, energy=random.normal(-6.0), forces=random.normal(size=(2, 3))
        )
        found.append(atoms)
    return found


def train(folder: Path) -> None:
    """Write the checkpoint of a training with averaged weights, `trained.ckpt`."""
    write(folder / "data.xyz", structures(), format="extxyz")
    data = {
        "_target_": "nequip.data.datamodule.ASEDataModule",
        "seed": 1,
        "train_file_path": str(folder / "data.xyz"),
        "val_file_path": str(folder / "data.xyz"),
        "transforms": [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": ["Cl", "Na"],
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 4.0},
        ],
        "train_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 1},
        "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 3},
    }
    loss = {"_target_": "nequip.train.EnergyForceLoss"}
    config: dict[str, Any] = {
        "_target_": "nequip.train.EMALightningModule",
        "ema_decay": 0.99,
        "model": NEQUIP | {"num_layers": 1, "l_max": 1},
        "loss": loss,
        "val_metrics": {"_target_": "nequip.train.EnergyForceMetrics"},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
    }
    datamodule = instantiate(data, _recursive_=False)
    info = {
        "versions": get_current_code_versions(),
        "data": data,
        "trainer": {},
        "global_options": get_latest_global_state(),
        "runs": ["train"],
        "training_module": config,
    }
    module = EMALightningModule(
        **{key: value for key, value in config.items() if key != "_target_"},
        num_datasets=datamodule.num_datasets,
        info_dict=info,
    )
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, filename="trained")],
        inference_mode=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=datamodule)


def damage(folder: Path) -> None:
    """Write checkpoints whose averages are exchanged with the weights, or that need a package."""
    content = torch.load(folder / "trained.ckpt", weights_only=False)
    content["hyper_parameters"]["model"]["_target_"] = "nequip_of_a_group.Model"
    torch.save(content, folder / "extension.ckpt")
    content = torch.load(folder / "trained.ckpt", weights_only=False)
    content["state_dict"]["ema._extra_state"]["is_holding_ema_weights"] = False
    torch.save(content, folder / "swapped.ckpt")


def fine_tune(folder: Path) -> None:
    """Write the package of the training, and the checkpoint of a training that starts from it."""
    target = folder / "trained.nequip.zip"
    package.main(["build", str(folder / "trained.ckpt"), str(target)])
    opened = {"_target_": "nequip.model.ModelFromPackage", "package_path": str(target)}
    shifts = {"modifier": "modify_PerTypeScaleShift", "shifts": {"Na": -7.0}}
    model = {"_target_": "nequip.model.modify", "model": opened, "modifiers": [shifts]}
    save(folder, "fine-tuned", model)


def read_all(folder: Path, reader: Path) -> None:
    sys.path.insert(0, str(reader))
    main = importlib.import_module("torchml_reading.__main__")
    errors = importlib.import_module("torchml_reading.source").ReadingError
    wish = {"species": None, "head": None, "dtype": None}
    for name, (file, fields) in READINGS.items():
        options = {
            "kind": "nequip",
            "wish": wish | {"model": str(folder / file)} | fields,
            "install": ["nequip"],
            "radii": dict(zip(chemical_symbols, covalent_radii.tolist(), strict=False)),
        }
        try:
            torch.save(main.read(options), folder / f"{name}.content")
        except errors as error:
            (folder / f"{name}.error").write_text(str(error), encoding="utf-8")


def main(folder: Path, reader: Path) -> None:
    set_global_state()
    for name, model in MODELS.items():
        save(folder, name, model)
    train(folder)
    damage(folder)
    fine_tune(folder)
    (folder / "model.nequip.pt2").touch()
    read_all(folder, reader)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    main(*map(Path, sys.argv[1:]))
