"""Networks of descriptors: every kind, one species, or two with different cutoffs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from helpers import portable
from torchml import descriptors, kim
from torchml.contract import metadata, param_file
from torchml.contract.metadata import quiet_torchscript
from torchml.descriptors import SOAP, Bispectrum, Parameters, SymmetryFunctions, Xi
from torchml.export.descriptor import ExportedDescriptor, facts_of

CUTOFF = 4.0
PAIRS = {"Si-Si": 4.0, "Si-C": 3.6, "C-C": 3.1}
FUNCTIONS = {
    "g2": [{"eta": 0.1, "Rs": 0.0}, {"eta": 1.0, "Rs": 2.0}],
    "g4": [{"zeta": 1, "lambda": 1, "eta": 0.01}, {"zeta": 4, "lambda": -1, "eta": 0.05}],
}
KINDS: dict[str, Callable[..., Parameters]] = {
    "SymmetryFunctions": lambda species, cutoff: SymmetryFunctions(species, cutoff, FUNCTIONS),
    "Bispectrum": lambda species, cutoff: Bispectrum(
        species, cutoff, twojmax=4, weights=[1.0, 0.7][: len(species)]
    ),
    "SOAP": lambda species, cutoff: SOAP(species, cutoff, n_max=2, l_max=3),
    "Xi": lambda species, cutoff: Xi(species, cutoff, q=2),
}
MIXTURES: dict[str, tuple[list[str], float | dict[str, float]]] = {
    "Si": (["Si"], CUTOFF),
    "SiC": (["Si", "C"], PAIRS),
}


def make_parameters(kind: str, mixture: str) -> Parameters:
    """A kind with few components. Files of Xi hold one cutoff."""
    species, cutoff = MIXTURES[mixture]
    return KINDS[kind](species, CUTOFF if kind == "Xi" else cutoff)


def structure(mixture: str, seed: int = 3) -> Atoms:
    """Rattled silicon, or silicon carbide with an additional carbon atom: 16 atoms."""
    if mixture == "Si":
        atoms = bulk("Si", cubic=True, a=5.431) * (2, 1, 1)
    else:
        atoms = bulk("SiC", "zincblende", cubic=True, a=4.6) * (2, 1, 1)
        atoms.symbols[0] = "C"
    atoms.positions += np.random.default_rng(seed).uniform(-0.1, 0.1, (len(atoms), 3))
    return atoms


def save_network(path: Path, width: int, inputs: str = "descriptor", scale: float = 0.1) -> Path:
    """An archive without metadata: two layers, [N, 1] energies."""
    names = inputs.split(", ")
    typed = ", ".join(f"{name}: Tensor" for name in names)
    factor = f" * (1.0 + {names[1]}).unsqueeze(1)" if len(names) > 1 else ""

    class Network(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            random = torch.Generator().manual_seed(3)
            inner = scale * torch.randn(width, 8, generator=random, dtype=torch.float64)
            outer = torch.randn(8, 1, generator=random, dtype=torch.float64)
            self.inner, self.outer = torch.nn.Parameter(inner), torch.nn.Parameter(outer)
            self.define(
                f"def forward(self, {typed}) -> Tensor:\n"
                f"    return torch.tanh({names[0]} @ self.inner) @ self.outer{factor}\n"
            )

    with quiet_torchscript():
        Network().save(str(path))
    return path


@dataclass(frozen=True)
class Model:
    """A portable model, the archive of its network alone, and the parameters of its descriptor."""

    folder: Path
    archive: Path
    parameters: Parameters

    @property
    def name(self) -> str:
        return self.folder.name

    def energies(self, atoms: Atoms) -> np.ndarray:
        """Energies of the atoms, without the engine."""
        values = descriptors.Descriptor(self.parameters).compute(atoms)
        with quiet_torchscript(), torch.no_grad():
            return torch.jit.load(self.archive)(torch.tensor(values)).numpy().ravel()


def write_model(kind: str, mixture: str, parent: Path) -> Model:
    """The folder of a portable model, written without the checks of the exporter."""
    parameters = make_parameters(kind, mixture)
    descriptor = ExportedDescriptor(parameters.to_core(), "a test")
    name = kim.model_name(f"Test_{kind}_{mixture}")
    archive = save_network(parent / f"{kind}_{mixture}.pt", descriptor.width, scale=0.01)
    facts = replace(facts_of(descriptor), dtype="float64", layers=1)
    with quiet_torchscript():
        metadata.save(torch.jit.load(archive), parent / "model.pt", facts)
    files = {
        "model.pt": parent / "model.pt",
        "descriptor.dat": descriptor.text,
        "model.param": param_file.render(facts, "model.pt", 1),
    }
    portable.write_folder(parent / name, files, list(parameters.species))
    return Model(parent / name, archive, parameters)
