"""The sections of OCP's configuration: their keys, and the defaults that all versions share.

`translation` and `networks` define what the keys mean here, and which are refused. Defaults that
differ between versions are in `versions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import Any

import torch

from torchml.compat.typed import from_mapping
from torchml.errors import TorchMLError


@dataclass
class Part:
    """One of the data sets; all but `use_train_settings` is taken from that of training."""

    src: str | list[str] | None = None
    format: str | None = None
    normalize_labels: bool = False
    target_mean: float | None = None
    target_std: float | None = None
    grad_target_mean: float | None = None
    grad_target_std: float | None = None
    key_mapping: dict[str, str] = field(default_factory=dict)
    transforms: dict[str, Any] = field(default_factory=dict)
    use_train_settings: bool = True
    metadata_path: str | None = None
    keep_in_memory: bool = False
    a2g_args: dict[str, Any] = field(default_factory=dict)
    select_args: dict[str, Any] = field(default_factory=dict)
    total_shards: int | None = None
    shard: int | None = None
    train_on_oc20_total_energies: bool = False
    oc20_ref: str | bool | None = None
    lin_ref: str | bool | None = None


@dataclass
class Dataset:
    """The data sets by their use."""

    train: Part = field(default_factory=Part)
    val: Part | None = None
    test: Part | None = None
    relax: Part | None = None


@dataclass
class RelaxOpt:
    """Options of the L-BFGS optimiser: lengths in Å, alpha in eV/Å²."""

    memory: int
    name: str = "lbfgs"
    maxstep: float | None = None
    damping: float | None = None
    alpha: float | None = None
    traj_dir: str | None = None


@dataclass
class Task:
    """Kind of data, metrics, and relaxations."""

    dataset: str | None = None
    description: str | None = None
    type: str | None = None
    metric: str | None = None
    labels: list[str] | None = None
    grad_input: str | None = None
    train_on_free_atoms: bool = False
    eval_on_free_atoms: bool = True
    primary_metric: str | None = None
    prediction_dtype: str | None = None
    strict_load: bool = True
    tag_specific_weights: list[float] = field(default_factory=list)
    label_index: int | bool | None = None
    relax_dataset: Part | None = None
    relax_opt: RelaxOpt | None = None
    relaxation_steps: int | None = None
    relaxation_fmax: float | None = None
    num_relaxation_batches: int | None = None
    write_pos: bool = False
    eval_relaxations: bool = False
    save_full_traj: bool = True
    set_deterministic_scatter: bool = False


@dataclass
class Optim:
    """Batches, losses, optimiser and schedule."""

    batch_size: int
    lr_initial: float
    max_epochs: int
    eval_batch_size: int | None = None
    num_workers: int | None = None
    num_gpus: int | None = None
    load_balancing: str | bool | None = None
    energy_coefficient: float = 1.0
    force_coefficient: float = 30.0
    loss_energy: str = "mae"
    loss_force: str | None = None
    loss_forces: str | None = None
    optimizer: str = "AdamW"
    optimizer_params: dict[str, Any] = field(default_factory=dict)
    weight_decay: float | None = None
    scheduler: str | None = None
    scheduler_arguments: dict[str, Any] = field(default_factory=dict)
    of_other_schedulers: list[str] = field(default_factory=list)
    lr_gamma: float | None = None
    lr_milestones: list[int] | None = None
    warmup_epochs: int | None = None
    warmup_steps: int | None = None
    warmup_factor: float | None = None
    update_lr_on_step: bool = False
    eval_every: int | None = None
    checkpoint_every: int | None = None
    clip_grad_norm: float | None = None
    ema_decay: float | None = None


@dataclass
class Loss:
    """A term of the loss."""

    fn: str = "mae"
    coefficient: float = 1.0
    reduction: str = "mean"


@dataclass
class Output:
    """What the model predicts."""

    level: str | None = None
    shape: int | None = None
    irrep_dim: int | None = None
    train_on_free_atoms: bool = True
    eval_on_free_atoms: bool = True
    prediction_dtype: str | None = None
    decomposition: dict[str, Any] = field(default_factory=dict)


@dataclass
class Evaluation:
    """Metrics; the primary one chooses the best checkpoint."""

    metrics: dict[str, Any] = field(default_factory=dict)
    primary_metric: str | None = None


@dataclass
class Config:
    """All sections; `model` depends on its name (see `networks`)."""

    model: dict[str, Any]
    optim: Optim
    dataset: Dataset = field(default_factory=Dataset)
    task: Task = field(default_factory=Task)
    trainer: str = "ocp"
    logger: str | dict[str, Any] | None = None
    loss_functions: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    evaluation_metrics: Evaluation = field(default_factory=Evaluation)
    slurm: dict[str, Any] = field(default_factory=dict)
    hide_eval_progressbar: bool = False


# Earlier names of sections.
_RENAMED = {"loss_fns": "loss_functions", "eval_metrics": "evaluation_metrics"}


def parse(content: Mapping[str, Any]) -> Config:
    """Return the typed sections; unknown keys and other types are errors.

    A key whose value is null counts as absent.

    Args:
        content: as `configuration.load` returns it.

    Raises:
        TorchMLError: a key is unknown or missing, or a value has another type.
    """
    whole = {
        _RENAMED.get(key, key): _without_nulls(value)
        for key, value in content.items()
        if value is not None
    }
    for key in ("model", "optim"):
        if not isinstance(whole.get(key), Mapping):
            raise TorchMLError(f"the configuration lacks {key}, expected keys with values")
    outputs = whole.get("outputs", {})
    sections: dict[str, Any] = {
        "optim": from_mapping(Optim, _with_scheduler_arguments(whole["optim"]), "optim"),
        "dataset": from_mapping(Dataset, whole.get("dataset", {}), "dataset"),
        "task": from_mapping(Task, whole.get("task", {}), "task"),
        "outputs": {
            name: from_mapping(Output, value, f"outputs.{name}") for name, value in outputs.items()
        },
        "evaluation_metrics": from_mapping(
            Evaluation, whole.get("evaluation_metrics", {}), "evaluation_metrics"
        ),
    }
    return from_mapping(Config, whole | sections, "the configuration")


def _with_scheduler_arguments(optim: Mapping[str, Any]) -> dict[str, Any]:
    """Put the arguments of torch's scheduler, which OCP keeps among the keys of optim, together.

    OCP ignores those of other schedulers of torch, which its own files have too.
    """
    schedulers = torch.optim.lr_scheduler
    kind = getattr(schedulers, str(optim.get("scheduler")), None)
    if not isinstance(kind, type):
        return dict(optim)
    of_all = (getattr(schedulers, name) for name in schedulers.__all__)
    others = set[str]().union(*map(_scheduler_arguments, of_all))
    taken = {key: optim[key] for key in optim if key in _scheduler_arguments(kind)}
    ignored = [key for key in optim if key in others and key not in taken]
    rest = {key: value for key, value in optim.items() if key not in (*taken, *ignored)}
    return rest | {"scheduler_arguments": taken, "of_other_schedulers": ignored}


def _scheduler_arguments(kind: type) -> set[str]:
    """Names of the arguments of a scheduler that are no keys of optim themselves."""
    own = {"optimizer", "last_epoch", "verbose", *(entry.name for entry in fields(Optim))}
    return set(signature(kind).parameters) - own


def _without_nulls(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nulls(one) for key, one in content.items() if one is not None}
    return content
