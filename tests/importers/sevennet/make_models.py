"""Make checkpoints of SevenNet, and read them as `torchml_export --from sevennet`: FOLDER READER.

The program runs in an environment that has sevenn, without TorchML; READER is the zip file that
reads models. Each reading leaves a file NAME.content, or NAME.error with one sentence.
"""

from __future__ import annotations

import importlib
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import sevenn
import torch
from ase.data import chemical_symbols, covalent_radii
from sevenn import _const, model_build, util

SMALL: dict[str, Any] = {
    "cutoff": 4.0,
    "channel": 4,
    "lmax": 2,
    "num_convolution_layer": 2,
    "weight_nn_hidden_neurons": [8],
    "conv_denominator": [9.0, 7.0],
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5},
    "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 5},
    "shift": [-2.5, -1.0],
    "scale": [0.7, 1.3],
    "use_modality": False,
    "version": sevenn.__version__,
}
PARITY: dict[str, Any] = {
    "is_parity": True,
    "self_connection_type": ["nequip", "linear"],
    "use_bias_in_linear": True,
    "readout_as_fcn": True,
    "readout_fcn_hidden_neurons": [6],
    "readout_fcn_activation": "tanh",
    "act_radial": "ssp",
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.1},
    "_normalize_sph": False,
}
CHIRAL: dict[str, Any] = {"is_parity": False, "self_connection_type": "linear"}
TUNED: dict[str, Any] = {
    "cutoff": 3.6,
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.0},
}
READINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "7net-0": ("7net-0", {}),
    "PBE": ("7net-mf-0", {"head": "PBE"}),
    "R2SCAN": ("7net-mf-0", {"head": "R2SCAN"}),
    "parity": ("parity.pth", {}),
    "chiral": ("chiral.pth", {}),
    "other signs": ("other signs.pth", {}),
    "old signs": ("old signs.pth", {}),
    "tuned": ("tuned.pth", {}),
    "no modality": ("7net-mf-0", {}),
    "case": ("7net-mf-0", {"head": "pbe"}),
    "head": ("7net-0", {"head": "PBE"}),
    "species": ("7net-0", {"species": ["Na", "Po"]}),
    "pickle": ("pickle.pth", {}),
    "name": ("8net-0", {}),
}


def save(folder: Path, name: str, **options: Any) -> dict[str, Any]:
    """Write a checkpoint of a model with random weights, and return its content."""
    torch.manual_seed(4)
    defaults = {**_const.model_defaults({}), "readout_as_fcn": False}
    config = {**defaults, **util.chemical_species_preprocess(["Na", "Cl"]), **SMALL, **options}
    model = model_build.build_E3_equivariant_model(dict(config))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith("bias"):
                weight += 0.3 * torch.randn_like(weight)
    content = {"config": config, "model_state_dict": model.state_dict()}
    torch.save(content, folder / f"{name}.pth")
    return content


def with_other_signs(content: dict[str, Any]) -> dict[str, Any]:
    """The same model in the signs of e3nn 0.4: coupling (1, 2, 2), and the weights of its path."""
    state = {key: value.clone() for key, value in content["model_state_dict"].items()}
    model = model_build.build_E3_equivariant_model(dict(content["config"]))
    for key in list(state):
        if not (found := re.match(r"(\d+_convolution)\..*_w3j_1_2_2$", key)):
            continue
        state[key] *= -1.0
        convolution, begin = model._modules[found.group(1)], 0
        product = convolution.convolution
        last = f"{found.group(1)}.weight_nn.layer1.weight"
        for way in product.instructions:
            width = product.irreps_in1[way.i_in1].mul
            parts = product.irreps_in1[way.i_in1], product.irreps_in2[way.i_in2]
            degrees = [one.ir.l for one in (*parts, product.irreps_out[way.i_out])]
            if degrees == [1, 2, 2]:
                state[last][:, begin : begin + width] *= -1.0
            begin += width
    return {"config": content["config"], "model_state_dict": state}


def as_old(content: dict[str, Any]) -> dict[str, Any]:
    """The same with the paths in the order of sevenn before 0.11."""
    state = {key: value.clone() for key, value in content["model_state_dict"].items()}
    model = model_build.build_E3_equivariant_model(dict(content["config"]))
    for name, convolution in model._modules.items():
        if not name.endswith("_convolution"):
            continue
        product, columns, begin = convolution.convolution, {}, 0
        for way in product.instructions:
            width = product.irreps_in1[way.i_in1].mul
            columns[way.i_in1, way.i_in2, way.i_out] = list(range(begin, begin + width))
            begin += width
        order = [k for way in convolution._instructions_before_sort for k in columns[way[:3]]]
        last = f"{name}.weight_nn.layer1.weight"
        state[last] = state[last][:, order]
    return {"config": {**content["config"], "version": "0.10.0"}, "model_state_dict": state}


class Intruder:
    """What a pickle could do to who reads it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("the pickle was run",))


def write_all(folder: Path) -> None:
    parity = save(folder, "parity", **PARITY)
    chiral = save(folder, "chiral", **CHIRAL)
    torch.save(with_other_signs(chiral), folder / "other signs.pth")
    torch.save(as_old(with_other_signs(parity)), folder / "old signs.pth")
    # A fine-tuning writes its own settings beside the weights of the base model.
    torch.save({**chiral, "config": {**chiral["config"], **TUNED}}, folder / "tuned.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Intruder()))


def read_all(folder: Path, reader: Path) -> None:
    sys.path.insert(0, str(reader))
    main = importlib.import_module("torchml_reading.__main__")
    errors = importlib.import_module("torchml_reading.source").ReadingError
    wish = {"species": ["Na", "Cl"], "head": None, "dtype": None}
    for name, (file, fields) in READINGS.items():
        path = str(folder / file) if file.endswith(".pth") else file
        options = {
            "kind": "sevennet",
            "wish": wish | {"model": path} | fields,
            "radii": dict(zip(chemical_symbols, covalent_radii.tolist(), strict=False)),
        }
        try:
            torch.save(main.read(options), folder / f"{name}.content")
        except errors as error:
            (folder / f"{name}.error").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write_all(Path(sys.argv[1]))
    read_all(*map(Path, sys.argv[1:]))
