"""Make the files of this folder with the build that is installed, as README.md says.

    python make.py [FOLDER]

A tiny SchNet learns clusters of argon and neon. Its configuration names classes of many kinds: a
task, a network, two losses, a target, an optimiser, a scheduler. Expected energies, forces and
weights are kept to the last bit.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read, write

torch.set_num_threads(1)

CONFIG = """
data:
  train: argon.extxyz
  split: {train: 12, val: 4, test: 4}
  batch_size: 3
  keys: {targets: [charge]}
  weights: {energy: 2.0, forces: 1.0}
model:
  class_path: torchml.training.S2EF
  init_args:
    model:
      class_path: torchml.models.SchNet
      init_args: {cutoff: 3.0, layers: 2, features: 8, gaussians: 6}
    force_loss: torchml.training.losses.VectorNormLoss
    targets:
      - name: charge
        kind: node_scalar
        loss: torch.nn.HuberLoss
    normalization: {references: least_squares, scale: forces}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.003}}
    scheduler: {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1, gamma: 0.9}}
    schedule: constant
ema: {decay: 0.9}
early_stopping: {patience: 20}
checkpoint: {last_every_n_steps: 3}
trainer:
  max_epochs: 2
  accelerator: cpu
plots: false
"""


ARCHIVE = "Old_SchNet__MO_000000000000_000/model.pt"


def structures() -> list[Atoms]:
    """Small clusters with the energies and forces of Lennard-Jones atoms, and made-up charges."""
    generator = np.random.default_rng(0)
    grid = 1.25 * np.stack(np.meshgrid(*[np.arange(2.0)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for index in range(20):
        n = int(generator.integers(3, 9))
        atoms = Atoms(
            ["Ar" if k % 2 else "Ne" for k in range(n)],
            positions=grid[:n] + generator.normal(scale=0.03, size=(n, 3)),
        )
        atoms.calc = LennardJones(rc=3.0, smooth=True)
        atoms.get_forces()
        atoms.info["group"] = f"group {index % 2}"
        atoms.arrays["charge"] = generator.normal(size=n)
        found.append(atoms)
    return found


def energies_and_forces(model: str) -> dict[str, np.ndarray]:
    """Energies [20] (eV) and forces [atoms, 3] (eV/Å) of all structures in the engine."""
    from torchml import Potential

    potential = Potential(model)
    results = [potential.evaluate(atoms) for atoms in read("argon.extxyz", ":")]
    return {
        "energy": np.array([result.energy for result in results]),
        "forces": np.concatenate([result.forces for result in results]),
    }


def weights(checkpoint: str) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint's state_dict (averaged) and current_model_state."""
    content = torch.load(checkpoint, weights_only=True)
    return {
        f"{key}/{name}": value.numpy()
        for key in ("state_dict", "current_model_state")
        for name, value in content[key].items()
    }


def main(folder: Path) -> None:
    """Train, resume, export; keep the numbers."""
    from torchml.cli import export_main
    from torchml.cli import main as command
    from torchml.training import test

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    write("argon.extxyz", structures())
    Path("argon.yaml").write_text(CONFIG)
    assert command(["fit", "--config", "argon.yaml"]) == 0
    # The same run for one epoch more: what a resumed run must end with.
    shutil.copytree("run", "longer")
    words = ["--trainer.default_root_dir", "longer", "--trainer.max_epochs", "3"]
    assert command(["fit", "--config", "run/config.yaml", *words, "--ckpt_path", "last"]) == 0
    best = "run/checkpoints/best.ckpt"
    ahead = ["--format", "aoti", "--instruction-set", "avx2"]
    assert export_main([best, "--name", "Old_SchNet"]) == 0
    assert export_main([best, "--name", "Old_SchNet_aoti", *ahead]) == 0
    shutil.copyfile("Old_SchNet_aoti__MO_000000000000_000/model.pt2", "model.pt2")
    expected = weights("longer/checkpoints/last.ckpt")
    for model in (best, ARCHIVE, str(Path(ARCHIVE).parent), "model.pt2"):
        for name, values in energies_and_forces(model).items():
            expected[f"{Path(model).name}/{name}"] = values
    for name, value in test("run/config.yaml").metrics.items():
        expected[f"metrics/{name}"] = np.array(value)
    expected["made_by"] = np.array([torch.__version__, torch.backends.cpu.get_cpu_capability()])
    np.savez_compressed("expected.npz", **expected)
    # What is not compared, and what is too large to keep.
    shutil.rmtree("run/logs")
    for left in ("longer", "Old_SchNet_aoti__MO_000000000000_000"):
        shutil.rmtree(left)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "made"))
