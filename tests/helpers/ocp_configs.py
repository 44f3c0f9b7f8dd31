"""Configurations of OCP, as its repository has them, with small networks and files of tests."""

from __future__ import annotations

from typing import Any

IS2RE_BASE = """\
trainer: energy
dataset:
  - src: {train}
    normalize_labels: True
    target_mean: {mean}
    target_std: {std}
  - src: {val}
logger: tensorboard
task:
  dataset: single_point_lmdb
  type: regression
  metric: mae
  labels:
    - relaxed energy
"""
IS2RE_SCHNET = """\
includes:
- base.yml
model:
  name: schnet
  hidden_channels: 12
  num_filters: 8
  num_interactions: 2
  num_gaussians: 10
  cutoff: 4.0
  use_pbc: True
  regress_forces: False
optim:
  batch_size: 4
  eval_batch_size: 2
  num_workers: 0
  lr_initial: 0.005
  lr_gamma: 0.1
  lr_milestones:
    - 10
    - 15
  warmup_epochs: 3
  warmup_factor: 0.2
  max_epochs: 2
"""
S2EF_BASE = """\
trainer: forces
dataset:
  - src: {train}
    normalize_labels: True
    target_mean: {mean}
    target_std: {std}
    grad_target_mean: 0.0
    grad_target_std: {std}
  - src: {val}
logger: tensorboard
task:
  dataset: trajectory_lmdb
  type: regression
  metric: mae
  labels:
    - potential energy
  grad_input: atomic forces
  train_on_free_atoms: True
  eval_on_free_atoms: True
"""
S2EF_SCHNET = """\
includes:
- base.yml
model:
  name: schnet
  hidden_channels: 12
  num_filters: 8
  num_interactions: 2
  num_gaussians: 10
  cutoff: 4.0
  use_pbc: True
optim:
  batch_size: 4
  eval_batch_size: 2
  num_workers: 0
  lr_initial: 0.0005
  lr_gamma: 0.1
  lr_milestones:
    - 5
    - 8
  warmup_epochs: 3
  warmup_factor: 0.2
  max_epochs: 2
  force_coefficient: 100
"""
# What the documentation adds for relaxations, at the top level.
RELAXATIONS = """\
relax_dataset:
  src: {relax}
write_pos: True
relaxation_steps: 4
relax_opt:
  maxstep: 0.04
  memory: 50
  damping: 1.0
  alpha: 70.0
  traj_dir: "trajectories"
"""
S2EF_2024 = """\
trainer: ocp
dataset:
  train:
    format: lmdb
    src: {train}
    key_mapping:
      y: energy
      force: forces
    transforms:
      normalizer:
        energy:
          mean: {mean}
          stdev: {std}
        forces:
          mean: 0
          stdev: {std}
  val:
    src: {val}
logger: wandb
outputs:
  energy:
    shape: 1
    level: system
  forces:
    irrep_dim: 1
    level: atom
    train_on_free_atoms: True
    eval_on_free_atoms: True
loss_functions:
  - energy:
      fn: mae
      coefficient: 1
  - forces:
      fn: l2mae
      coefficient: 100
evaluation_metrics:
  metrics:
    energy:
      - mae
    forces:
      - mae
      - cosine_similarity
      - magnitude_error
    misc:
      - energy_forces_within_threshold
  primary_metric: forces_mae
model:
  name: schnet
  hidden_channels: 12
  num_filters: 8
  num_interactions: 2
  num_gaussians: 10
  cutoff: 4.0
  use_pbc: True
optim:
  batch_size: 4
  eval_batch_size: 4
  num_workers: 0
  lr_initial: 0.0005
  lr_gamma: 0.1
  lr_milestones:
    - 7812
    - 12500
  warmup_steps: 4687
  warmup_factor: 0.2
  max_epochs: 2
"""


def of_2021(**sections: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration for energies and forces of 2021, with values that replace others."""
    content: dict[str, Any] = {
        "trainer": "forces",
        "dataset": {
            "train": {
                "src": "train.lmdb",
                "normalize_labels": True,
                "target_mean": 0.0,
                "target_std": 2.0,
                "grad_target_mean": 0.0,
                "grad_target_std": 2.0,
            },
            "val": {"src": "val.lmdb"},
        },
        "task": {"dataset": "trajectory_lmdb"},
        "model": {"name": "schnet", "cutoff": 6.0},
        "optim": {
            "batch_size": 4,
            "lr_initial": 0.001,
            "lr_gamma": 0.1,
            "lr_milestones": [5, 8],
            "warmup_epochs": 3,
            "warmup_factor": 0.2,
            "max_epochs": 2,
        },
    }
    return _updated(content, sections)


def of_2024(**sections: dict[str, Any]) -> dict[str, Any]:
    """Return the same in the form of 2024."""
    content = of_2021()
    content |= {
        "trainer": "ocp",
        "loss_functions": [
            {"energy": {"fn": "mae", "coefficient": 1}},
            {"forces": {"fn": "l2mae", "coefficient": 100}},
        ],
        "outputs": {"energy": {"level": "system"}, "forces": {"level": "atom"}},
        "evaluation_metrics": {"primary_metric": "forces_mae"},
    }
    optim = content["optim"]
    del optim["warmup_epochs"]
    optim |= {"warmup_steps": 300, "lr_milestones": [500, 800]}
    return _updated(content, sections)


def _updated(content: dict[str, Any], sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    for name, values in sections.items():
        section = content.setdefault(name, {})
        for key, value in values.items():
            *path, leaf = key.split(".")
            branch = section
            for part in path:
                branch = branch.setdefault(part, {})
            branch[leaf] = value
    return content
