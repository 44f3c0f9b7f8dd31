"""ANI models with random weights: as plain values, as files of NeuroChem, and computed in loops."""

from __future__ import annotations

import bz2
from itertools import combinations, combinations_with_replacement, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

HARTREE = 27.2
BOHR = 1.0 / 1.8897261258369282  # Å


def random_values(
    species: list[str],
    members: int = 3,
    smooth: bool = False,
    activation: str = "celu",
    repulsion: bool = False,
    widths: tuple[int, ...] = (6, 5),
    seed: int = 0,
) -> dict[str, Any]:
    """What `torchml.importers.networks.ani.build` takes; cutoffs 4.0 and 2.8 Å."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    shifts = torch.tensor([0.9, 1.6, 2.3, 3.0], dtype=torch.float64)
    sections = torch.tensor([0.4, 1.2, 2.6], dtype=torch.float64)
    number = len(species)
    inputs = 4 * number + 6 * (number * (number + 1) // 2)
    networks = []
    for _ in species:
        sizes = [inputs, *widths, 1]
        networks.append(
            {
                "weights": [normal(members, a, b) * a**-0.5 for a, b in pairwise(sizes)],
                "biases": [0.3 * normal(members, b) for b in sizes[1:]],
            }
        )
    function = {"kind": "smooth", "order": 2, "epsilon": 1e-10} if smooth else {"kind": "cosine"}
    charges, alpha = 1.0 + normal(number).abs(), 0.6 + 0.2 * normal(number).abs()
    pairs = {
        "cutoff": 3.7,
        "cutoff_function": {"kind": "smooth", "order": 2, "epsilon": 1e-10},
        "charges": torch.outer(charges, charges),
        "alpha": torch.outer(alpha, alpha).sqrt(),
        "powers": torch.full((number, number), 1.5, dtype=torch.float64),
    }
    return {
        "family": "ani",
        "species": species,
        "cutoff": 4.0,
        "radial": {"cutoff": 4.0, "eta": 5.0, "shifts": shifts},
        "angular": {
            "cutoff": 2.8, "eta": 3.0, "zeta": 7.5, "shifts": shifts[:2], "sections": sections
        },
        "cutoff_function": function,
        "activation": {"kind": activation, "alpha": 0.1} if activation == "celu" else {
            "kind": activation
        },
        "networks": networks,
        "repulsion": pairs if repulsion else None,
        "references": {symbol: -3.0 - k for k, symbol in enumerate(species)},
        "scale": HARTREE,
    }  # fmt: skip


def energies_in_loops(
    values: dict[str, Any], codes: list[int], positions: np.ndarray
) -> np.ndarray:
    """Energies (eV) of the members and atoms of a cluster, [k, N], by the formulas of the paper."""
    members = values["networks"][0]["weights"][0].size(0)
    found = np.zeros((members, len(codes)))
    for atom, code in enumerate(codes):
        vectors = np.delete(positions, atom, 0) - positions[atom]
        others = [other for k, other in enumerate(codes) if k != atom]
        aev = _environment(values, vectors, others)
        network = values["networks"][code]
        for member in range(members):
            x = aev
            for k, (weights, biases) in enumerate(
                zip(network["weights"], network["biases"], strict=True)
            ):
                x = x @ weights[member].numpy() + biases[member].numpy()
                if k < len(network["weights"]) - 1:
                    x = _activation(values["activation"]["kind"], x)
            found[member, atom] = x[0]
        found[:, atom] += _repulsion(values["repulsion"], code, vectors, others)
    references = [values["references"][values["species"][code]] for code in codes]
    return values["scale"] * found + references


def _environment(values: dict[str, Any], vectors: np.ndarray, others: list[int]) -> np.ndarray:
    number = len(values["species"])
    pairs = list(combinations_with_replacement(range(number), 2))
    radial, angular = values["radial"], values["angular"]
    two = np.zeros((number, len(radial["shifts"])))
    three = np.zeros((len(pairs), len(angular["shifts"]), len(angular["sections"])))
    lengths = np.linalg.norm(vectors, axis=1)
    function = values["cutoff_function"]
    for r, other in zip(lengths, others, strict=True):
        gauss = np.exp(-radial["eta"] * (r - radial["shifts"].numpy()) ** 2)
        two[other] += 0.25 * gauss * _cutoff(function, r, radial["cutoff"])
    for j, k in combinations(range(len(others)), 2):
        angle = np.arccos(0.95 * vectors[j] @ vectors[k] / (lengths[j] * lengths[k]))
        mean = 0.5 * (lengths[j] + lengths[k])
        gauss = np.exp(-angular["eta"] * (mean - angular["shifts"].numpy()) ** 2)
        turn = 0.5 + 0.5 * np.cos(angle - angular["sections"].numpy())
        ends = [_cutoff(function, lengths[one], angular["cutoff"]) for one in (j, k)]
        pair = pairs.index((min(others[j], others[k]), max(others[j], others[k])))
        three[pair] += 2 * np.outer(gauss, turn ** angular["zeta"]) * ends[0] * ends[1]
    return np.concatenate([two.ravel(), three.ravel()])


def _cutoff(function: dict[str, Any], r: float, end: float) -> float:
    if r >= end:
        return 0.0
    if function["kind"] == "cosine":
        return float(0.5 + 0.5 * np.cos(np.pi * r / end))
    return float(np.exp(1 - 1 / max(1 - (r / end) ** function["order"], function["epsilon"])))


def _activation(kind: str, x: np.ndarray) -> np.ndarray:
    if kind == "celu":
        return np.maximum(x, 0) + np.minimum(0, 0.1 * np.expm1(x / 0.1))
    if kind == "gaussian":
        return np.exp(-(x**2))
    return torch.nn.functional.gelu(torch.tensor(x)).numpy()


def _repulsion(
    pairs: dict[str, Any] | None, code: int, vectors: np.ndarray, others: list[int]
) -> float:
    energy = 0.0
    for vector, other in zip(vectors, others, strict=True):
        if pairs is not None:
            r = float(np.linalg.norm(vector))
            power = float(pairs["powers"][code, other])
            one = float(pairs["charges"][code, other]) * BOHR / r
            one *= np.exp(-float(pairs["alpha"][code, other]) * (r / BOHR) ** power)
            energy += 0.5 * one * _cutoff(pairs["cutoff_function"], r, pairs["cutoff"])
    return energy


def write_neurochem(folder: Path, values: dict[str, Any], activation: int = 9) -> Path:
    """The files of NeuroChem of a model with the cosine cutoff; returns the info file."""
    folder.mkdir(parents=True, exist_ok=True)
    radial, angular, species = values["radial"], values["angular"], values["species"]
    constants = {
        "Rcr": radial["cutoff"],
        "Rca": angular["cutoff"],
        "EtaR": [radial["eta"]],
        "ShfR": radial["shifts"].tolist(),
        "Zeta": [angular["zeta"]],
        "ShfZ": angular["sections"].tolist(),
        "EtaA": [angular["eta"]],
        "ShfA": angular["shifts"].tolist(),
        "Atyp": f"[{','.join(species)}]",
    }
    text = "".join(f"{key} = {value}\n" for key, value in constants.items())
    (folder / "r.params").write_text(f"TM = 1\n{text}")
    energies = [
        f"{symbol},{k}={values['references'][symbol] / values['scale']!r}\n"
        for k, symbol in enumerate(species)
    ]
    (folder / "sae_linfit.dat").write_text("".join(energies))
    members = values["networks"][0]["weights"][0].size(0)
    for member in range(members):
        networks = folder / f"train{member}" / "networks"
        networks.mkdir(parents=True, exist_ok=True)
        for symbol, network in zip(species, values["networks"], strict=True):
            _write_network(networks / f"ANN-{symbol}.nnf", network, member, activation)
    info = folder.parent / f"{folder.name}.info"
    lines = ["r.params", "sae_linfit.dat", "train"]
    info.write_text("".join(f"{folder.name}/{line}\n" for line in lines) + f"{members}\n")
    return info


def _write_network(path: Path, network: dict[str, Any], member: int, activation: int) -> None:
    text = f"inputsize={network['weights'][0].size(1)};\natom_net {path.stem[4:]} $\n"
    last = len(network["weights"]) - 1
    for k, (weights, biases) in enumerate(zip(network["weights"], network["biases"], strict=True)):
        names = [f"{path.name}-l{k + 1}.{kind}param" for kind in "wb"]
        matrix = weights[member].T.contiguous()
        path.with_name(names[0]).write_bytes(matrix.float().numpy().astype("<f4").tobytes())
        path.with_name(names[1]).write_bytes(biases[member].float().numpy().astype("<f4").tobytes())
        text += (
            f"layer [\nnodes={matrix.size(0)};\nactivation={6 if k == last else activation};\n"
            f"type=0;\nblocksize={matrix.size(1)};\ndropout=0;\ndropset=0.000000;\n"
            "maskupdate=0.000000;\nmaxnorm=0;\nnorm=0.000000;\nnormupdate=0.000000;\nl2norm=1;\n"
            "l2valu=0.000100;\nbtchnorm=0;\n"
            f"weights=FILE:{names[0]}[{matrix.numel()}];\n"
            f"biases=FILE:{names[1]}[{matrix.size(0)}];\n]\n"
        )
    packed = bz2.compress(f"{text}\n $ \n".encode())
    path.write_bytes(b"1114=\n" + packed)
