"""Models in the files of NeuroChem, the program with which the first ANI potentials were trained.

A folder holds the constants of the environment vectors (`*.params`), the energies of the elements
(`sae*.dat`), and for each member of the ensemble a folder `networks` with a network by element:
`ANN-H.nnf` (compressed text), and weights and biases as plain float32.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .source import ReadingError

ACTIVATIONS: dict[int, dict[str, Any]] = {
    5: {"kind": "gaussian"},
    9: {"kind": "celu", "alpha": 0.1},
}
_NO_ACTIVATION = 6


@dataclass(frozen=True)
class Files:
    """Where a model lies.

    Attributes:
        constants: of the environment vectors.
        self_energies: of the elements.
        members: the folders `networks` of the members.
    """

    constants: Path
    self_energies: Path
    members: Sequence[Path]


@dataclass(frozen=True)
class Layer:
    """Weights [inputs, outputs], biases [outputs] and the number of the activation."""

    weights: Tensor
    biases: Tensor
    activation: int


def files_of(path: Path) -> Files:
    """The files of a folder, or of an info file: constants, self energies, prefix and number."""
    if path.is_dir():
        return _files_in(path)
    lines = _text(path).split("\n")[:4]
    if len(lines) < 4 or not lines[3].strip().isdigit():
        raise ReadingError(
            f"{path} is no info file of NeuroChem, expected four lines: file of constants, file of "
            "self energies, prefix of the members' folders, number of members"
        )
    constants, self_energies, prefix = (path.parent / line.strip() for line in lines[:3])
    members = [prefix.parent / f"{prefix.name}{k}" / "networks" for k in range(int(lines[3]))]
    return Files(constants, self_energies, members)


def constants_of(path: Path) -> dict[str, list[float]]:
    """Numbers by name: Rcr, Rca, EtaR, ShfR, EtaA, Zeta, ShfA, ShfZ (Å, 1/Å², rad)."""
    found = {}
    for name, text in _assignments(path):
        if name in ("Rcr", "Rca", "EtaR", "ShfR", "EtaA", "Zeta", "ShfA", "ShfZ"):
            found[name] = [_number(one, name, path) for one in text.strip("[]").split(",")]
            if name not in ("ShfR", "ShfA", "ShfZ") and len(found[name]) != 1:
                raise ReadingError(
                    f"{path}: {name} has {len(found[name])} values, expected one number"
                )
    if missing := {"Rcr", "Rca", "EtaR", "ShfR", "EtaA", "Zeta", "ShfA", "ShfZ"} - set(found):
        raise ReadingError(f"{path} has no {' '.join(sorted(missing))}")
    return found


def species_of(path: Path) -> list[str]:
    """Chemical symbols in the order of the environment vectors, from the file of constants."""
    for name, text in _assignments(path):
        if name == "Atyp":
            return [symbol.strip() for symbol in text.strip("[]").split(",")]
    raise ReadingError(f"{path} has no Atyp, expected the chemical symbols of the model")


def self_energies_of(path: Path) -> dict[str, float]:
    """Energies (Hartree) by symbol, from lines like `H,0=-0.6009`."""
    return {
        name.split(",")[0].strip(): _number(text, name, path) for name, text in _assignments(path)
    }


def network_of(path: Path) -> list[Layer]:
    """The layers of the network in a file `.nnf` and in those that it names."""
    content = _content(path)
    try:
        text = bz2.decompress(content[content.index(b"BZh") :]).decode("ascii")
    except (ValueError, OSError) as error:
        raise ReadingError(f"{path} is no network of NeuroChem ({error})") from None
    layers: list[Layer] = []
    for part in re.split(r"\blayer\b", text)[1:]:
        values = dict(re.findall(r"(\w+)\s*=\s*([^;]+);", part))
        try:
            inputs, outputs = int(values["blocksize"]), int(values["nodes"])
            activation, kind = int(values["activation"]), int(values.get("type", 0))
            weights, biases = (_named(values[name]) for name in ("weights", "biases"))
        except (KeyError, ValueError) as error:
            raise ReadingError(f"{path}: layer {len(layers)} is incomplete ({error})") from None
        if kind != 0:
            raise ReadingError(f"{path}: layer {len(layers)} has the type {kind}, expected 0")
        layers.append(
            Layer(
                _floats(path.parent / weights, inputs * outputs).view(outputs, inputs).t(),
                _floats(path.parent / biases, outputs),
                activation,
            )
        )
    _check(path, layers)
    return layers


def _check(path: Path, layers: Sequence[Layer]) -> None:
    """Layers must follow on each other, with one activation between them and none at the end."""
    if len(layers) < 2 or layers[-1].activation != _NO_ACTIVATION or layers[-1].biases.numel() != 1:
        raise ReadingError(
            f"{path}: expected hidden layers, and a last one of one node and activation "
            f"{_NO_ACTIVATION} (none)"
        )
    kinds = {layer.activation for layer in layers[:-1]}
    if len(kinds) > 1 or not kinds <= set(ACTIVATIONS):
        raise ReadingError(
            f"{path} has the activations {' '.join(map(str, sorted(kinds)))}, expected one of "
            f"{' | '.join(map(str, ACTIVATIONS))} (Gaussian, CELU)"
        )
    for k in range(1, len(layers)):
        if layers[k].weights.size(0) != layers[k - 1].weights.size(1):
            raise ReadingError(
                f"{path}: layer {k} takes {layers[k].weights.size(0)} values, but the one before "
                f"gives {layers[k - 1].weights.size(1)}"
            )


def _files_in(folder: Path) -> Files:
    found = []
    for pattern in ("*.params", "sae*.dat"):
        files = sorted(folder.glob(pattern))
        if len(files) != 1:
            raise ReadingError(
                f"{folder} has {len(files)} files {pattern}, expected one: a folder of NeuroChem "
                "like ani-1x_8x of torchani 2.2.4"
            )
        found.append(files[0])
    members = [folder / "networks"]
    if not members[0].is_dir():
        folders = [one.parent for one in folder.glob("*/networks")]
        members = [
            one / "networks" for one in sorted(folders, key=lambda one: (len(one.name), one.name))
        ]
    if not members:
        raise ReadingError(
            f"{folder} has no folder 'networks', nor have the folders in it (train0, train1, ..)"
        )
    return Files(found[0], found[1], members)


def _assignments(path: Path) -> list[tuple[str, str]]:
    lines = [line.partition("=") for line in _text(path).splitlines() if "=" in line]
    return [(name.strip(), text.strip()) for name, _, text in lines]


def _text(path: Path) -> str:
    try:
        return _content(path).decode("ascii")
    except UnicodeDecodeError:
        raise ReadingError(f"{path} is no text, expected a file of NeuroChem") from None


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ReadingError(f"{path}: no such file, expected a file of NeuroChem")
    if not (content := path.read_bytes()):
        raise ReadingError(
            f"{path} is empty: the wheel of torchani 2.2.4 has only names of the files of ANI-2x "
            "and ANI-1ccx, expected their contents (github.com/aiqm/ani-model-zoo)"
        )
    return content


def _floats(path: Path, count: int) -> Tensor:
    content = _content(path)
    if len(content) != 4 * count:
        raise ReadingError(f"{path} has {len(content)} bytes, expected {4 * count}")
    return torch.from_numpy(np.frombuffer(content, "<f4").copy())


def _named(value: str) -> str:
    """The file in `FILE:ANN-H.nnf-l1.wparam[61440]`."""
    found = re.fullmatch(r"FILE:([\w.-]+)\[\d+\]", value.strip())
    if found is None:
        raise ValueError(f"'{value.strip()}' names no file")
    return found[1]


def _number(text: str, name: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise ReadingError(f"{path}: {name} is '{text}', expected a number") from None
