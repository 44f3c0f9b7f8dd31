"""Write checkpoints of fairchem with random weights, and what fairchem computes with them: FOLDER.

It runs in fairchem's environment, with the adapters (the package `reading`) and `staged_lists` on
the path. FOLDER contains structures.traj; results are written to answers.json.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import ase.io
import hydra
import torch
from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint
from plain_results import plain
from reading import fairchem as adapter
from reading.edges import edges_of
from reading.source import ReadingError, Structure, Wish
from staged_lists import difference

BACKBONE: dict[str, Any] = {
    "model": "fairchem.core.models.uma.escn_md.eSCNMDBackbone",
    "max_num_elements": 40,
    "sphere_channels": 4,
    "hidden_channels": 4,
    "edge_channels": 6,
    "num_distance_basis": 8,
    "lmax": 2,
    "mmax": 2,
    "num_layers": 1,
    "cutoff": 3.6,
    "otf_graph": True,
    "direct_forces": False,
    "regress_forces": True,
    "regress_stress": True,
    "act_type": "gate",
    "ff_type": "spectral",
    "chg_spin_emb_type": "rand_emb",
    "dataset_mapping": {"omat": "omat", "omol": "omol"},
}
EXPERTS: dict[str, Any] = {
    "model": "fairchem.core.models.uma.escn_moe.eSCNMDMoeBackbone",
    "num_experts": 3,
    "use_composition_embedding": True,
    "ff_type": "grid",
    "num_layers": 2,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "esen": {},
    "uma": EXPERTS,
    "high": {"lmax": 3, "mmax": 2, "norm_type": "layer_norm_sh"},
    "direct": {"direct_forces": True},
    "balanced": {"charge_balanced_channels": [0, 1]},
    "random": {"act_type": "s2"},
}
REFERENCES = {"omat": {11: -31.5, 17: -42.5}, "omol": {11: -11.0, 17: -12.0, 8: -7.0}}


def write(folder: Path, name: str, changes: dict[str, Any], mean: float = 0.0) -> None:
    """Write an inference checkpoint; its averaged weights differ from the last ones."""
    torch.manual_seed(5)
    config = _config({**BACKBONE, **changes}, experts="num_experts" in changes)
    model = hydra.utils.instantiate(config)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    last = {key: 3.0 * value for key, value in model.state_dict().items()}
    checkpoint = MLIPInferenceCheckpoint(
        model_config=config,
        model_state_dict=last,
        ema_state_dict=copy.deepcopy(averaged.state_dict()),
        tasks_config=_tasks(mean),
    )
    torch.save(checkpoint, folder / f"{name}.pt")


def _config(backbone: dict[str, Any], experts: bool) -> dict[str, Any]:
    head = {
        "module": "fairchem.core.models.uma.escn_moe.DatasetSpecificMoEWrapper",
        "head_cls": "fairchem.core.models.uma.escn_md.MLP_EFS_Head",
        "head_kwargs": {"wrap_property": False},
        "dataset_mapping": backbone["dataset_mapping"],
    }
    return {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": backbone,
        "heads": {"energy_and_forces": head},
        "pass_through_head_outputs": True,
        **({"model_id": "UMA-S-9"} if experts else {}),
    }


def _tasks(mean: float) -> list[dict[str, Any]]:
    tasks = []
    for k, (dataset, values) in enumerate(REFERENCES.items()):
        for quantity, level in (("energy", "system"), ("forces", "atom")):
            task = {
                "_target_": "fairchem.core.units.mlip_unit.mlip_unit.Task",
                "name": f"{dataset}_{quantity}",
                "level": level,
                "property": quantity,
                "out_spec": {"dim": [1], "dtype": "float32"},
                "datasets": [dataset],
                "normalizer": {
                    "_target_": "fairchem.core.modules.normalization.normalizer.Normalizer",
                    "mean": mean if quantity == "energy" else 0.0,
                    "rmsd": 20.0 + 10.0 * k,
                },
            }
            if quantity == "energy":
                table = [values.get(z, 0.0) for z in range(BACKBONE["max_num_elements"])]
                task["element_references"] = {
                    "_target_": "fairchem.core.modules.normalization.element_references."
                    "ElementReferences",
                    "element_references": {"_target_": "torch.DoubleTensor", "_args_": [table]},
                }
            tasks.append(task)
    return tasks


def answers(folder: Path) -> dict[str, Any]:
    """What fairchem's calculator computes, differences of two ranks from one, and refusals."""
    structures = [
        Structure(one.get_chemical_symbols(), one.positions, one.cell.array, tuple(one.pbc))
        for one in ase.io.read(folder / "structures.traj", ":")
    ]
    found: dict[str, Any] = {"results": {}, "ranks": {}, "facts": {}, "refusals": {}}
    for key, (name, head) in {
        "esen": ("esen", "omat"),
        "charged": ("esen", "omol:charge=1,spin=2"),
        "uma": ("uma", "omat:composition=NaCl"),
        "high": ("high", "omol"),
    }.items():
        wish = Wish(str(folder / f"{name}.pt"), None, head, "float64")
        source = adapter.open_model(wish)
        found["facts"][key] = [source.species, source.cutoff, source.layers, source.notes[0]]
        found["ranks"][key] = difference(
            source, structures[0], edges_of(structures[0], source.cutoff), torch.float64
        )
        found["results"][key] = [plain(source.own_results(one)) for one in structures]
    for model, head in (
        ("esen", None),
        ("esen", "oc20"),
        ("esen", "omat:charge=much"),
        ("esen", "omat:composition=NaCl"),
        ("uma", "omat"),
        ("direct", "omat"),
        ("balanced", "omat"),
        ("random", "omat"),
        ("mean", "omat"),
        ("plain", "omat"),
        ("absent", "omat"),
    ):
        try:
            adapter.open_model(Wish(str(folder / f"{model}.pt"), None, head, "float64"))
        except ReadingError as error:
            found["refusals"][f"{model} {head}"] = str(error)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    target = Path(sys.argv[1])
    for variant, changed in VARIANTS.items():
        write(target, variant, changed)
    write(target, "mean", {}, mean=2.0)
    torch.save({"weights": torch.ones(2)}, target / "plain.pt")
    (target / "answers.json").write_text(json.dumps(answers(target)))
