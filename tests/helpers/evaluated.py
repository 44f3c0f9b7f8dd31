"""Labelled configurations at random, and predictions near the labels."""

from __future__ import annotations

import numpy as np

from torchml.data.configuration import Configuration, Weights
from torchml.inference.evaluation import Evaluation

SKEWED = np.array([[4.0, 0.0, 0.0], [3.8, 0.8, 0.0], [-3.0, 0.3, 5.0]])
"""A cell in which the nearest image is not the one of fractions below a half."""


def labelled_pairs(
    seed: int = 0, number: int = 40, error: float = 0.02
) -> list[tuple[Configuration, Evaluation]]:
    """Three groups and none, three elements, fixed atoms, missing labels, and a weight of zero."""
    generator = np.random.default_rng(seed)
    pairs = []
    for k in range(number):
        atoms = int(generator.integers(1, 9))
        forces, stress = generator.normal(size=(atoms, 3)), 0.05 * generator.normal(size=6)
        energy = float(generator.normal() * 5)
        configuration = Configuration(
            generator.choice([1, 8, 29], atoms),
            generator.uniform(0, 4, (atoms, 3)),
            SKEWED,
            True,
            energy=None if k % 7 == 3 else energy,
            forces=None if k % 5 == 2 else forces,
            stress=None if k % 3 == 1 else stress,
            fixed=generator.uniform(size=atoms) < 0.3 if k % 2 else None,
            weights=Weights(forces=0.0) if k == 4 else Weights(),
            source="random",
            index=k,
            group=[None, "bulk", "slab", "molecules & more"][k % 4],
            sid=f"s{k // 2}",
            fid=str(k % 2),
        )
        evaluation = Evaluation(
            energy=energy + error * float(generator.normal()),
            forces=forces + error * generator.normal(size=forces.shape),
            stress=stress + error * generator.normal(size=6),
        )
        pairs.append((configuration, evaluation))
    return pairs


def relaxed_configurations(seed: int = 0, number: int = 12) -> list[Configuration]:
    """Initial structures in a skewed cell with relaxed positions and energies."""
    generator = np.random.default_rng(seed)
    configurations = []
    for k in range(number):
        atoms = int(generator.integers(2, 7))
        positions = generator.uniform(0, 4, (atoms, 3))
        configurations.append(
            Configuration(
                generator.choice([6, 29], atoms),
                positions,
                SKEWED,
                [True, True, k % 2 == 0],
                fixed=np.arange(atoms) == 0,
                relaxed_positions=positions + generator.normal(0, 0.2, (atoms, 3)),
                relaxed_energy=float(generator.normal()),
                source="relaxed",
                index=k,
                group="even" if k % 2 == 0 else "odd",
                sid=f"r{k}",
            )
        )
    return configurations
