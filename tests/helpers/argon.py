"""Labelled clusters of argon and neon, and a configuration that trains in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lj import LennardJones


def labelled_structures(count: int, seed: int = 0) -> list[Atoms]:
    """Small clusters of argon and neon, with the energies and forces of Lennard-Jones atoms."""
    generator = np.random.default_rng(seed)
    grid = 1.25 * np.stack(np.meshgrid(*[np.arange(2.0)] * 3), axis=-1).reshape(-1, 3)
    structures = []
    for index in range(count):
        n = int(generator.integers(3, 9))
        atoms = Atoms(
            ["Ar" if k % 2 else "Ne" for k in range(n)],
            positions=grid[:n] + generator.normal(scale=0.03, size=(n, 3)),
        )
        atoms.calc = LennardJones(rc=3.0, smooth=True)
        atoms.get_forces()
        atoms.info["group"] = f"group {index % 2}"
        structures.append(atoms)
    return structures


def write_config(data: Path, folder: Path) -> Path:
    path = folder / "argon.yaml"
    path.write_text(
        f"""
        data:
          train: {data}
          split: {{train: 12, val: 4, test: 4}}
          batch_size: 3
        model:
          model:
            class_path: torchml.models.SchNet
            init_args: {{cutoff: 3.0, layers: 2, features: 8, gaussians: 6}}
        trainer: {{max_epochs: 2, accelerator: cpu}}
        plots: false
        """
    )
    return path
