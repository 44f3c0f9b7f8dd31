"""physicsml's and molflux's configurations: dataclasses with their field names and defaults.

Deprecated fields and fields without meaning here are kept so that a configuration can be read;
`torchml.compat.physicsml.translate` refuses values without equivalent. Defaults differ where this
package has no equivalent of theirs: checkpoints are written, no batch is dropped, and EGNN expands
distances and displaces its atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Named = dict[str, Any]  # {"name": a class, "config": its arguments}


@dataclass
class OptimizerConfig:
    """A class of torch.optim and its arguments."""

    name: str = "Adam"
    config: Named = field(default_factory=lambda: {"lr": 1e-3})


@dataclass
class SchedulerConfig:
    """A class of torch.optim.lr_scheduler and its arguments.

    T_max and total_steps may be "num_steps" or "num_epochs": those of the run.
    """

    name: str = "CosineAnnealingLR"
    config: Named = field(default_factory=lambda: {"T_max": "num_steps"})
    interval: Literal["epoch", "step"] = "step"
    frequency: int = 1
    monitor: str = "val_loss"
    strict: bool = True


@dataclass
class SplitConfig:
    """Batches of one part of the data."""

    batch_size: int | dict[str, int] = 1


@dataclass
class TrainSplitConfig(SplitConfig):
    """Batches for training; `mode` combines several data sets."""

    drop_last: bool = False
    mode: Literal["max_size_cycle", "max_size", "min_size"] = "max_size_cycle"


@dataclass
class EvalSplitConfig(SplitConfig):
    """Batches for training; `mode` combines several data sets."""

    mode: Literal["max_size_cycle", "max_size", "min_size", "sequential"] = "max_size"


@dataclass
class DataModuleConfig:
    """Names of the labels, and parameters of graphs and batches.

    The energy is the first of `y_graph_scalars`, the forces are `y_node_vector`; further columns
    are further targets.
    """

    train: TrainSplitConfig = field(default_factory=TrainSplitConfig)
    validation: EvalSplitConfig = field(default_factory=EvalSplitConfig)
    test: EvalSplitConfig = field(default_factory=EvalSplitConfig)
    predict: SplitConfig = field(default_factory=SplitConfig)
    num_workers: int | Literal["all"] = 0
    num_elements: int = 0
    y_node_scalars: list[str] | None = None
    y_node_vector: str | None = None
    y_edge_scalars: list[str] | None = None
    y_edge_vector: str | None = None
    y_graph_scalars: list[str] | None = None
    y_graph_vector: str | None = None
    atomic_numbers_col: str = "physicsml_atom_numbers"
    coordinates_col: str = "physicsml_coordinates"
    node_attrs_col: str = "physicsml_atom_features"
    edge_attrs_col: str = "physicsml_bond_features"
    node_idxs_col: str = "physicsml_atom_idxs"
    edge_idxs_col: str = "physicsml_bond_idxs"
    graph_attrs_cols: list[str] | None = None
    total_atomic_energy_col: str = "physicsml_total_atomic_energy"
    cut_off: float = 5.0
    pbc: tuple[bool, bool, bool] | None = None
    cell: list[list[float]] | None = None
    self_interaction: bool = False
    use_scaled_positions: bool = False
    max_nbins: int = 1_000_000
    pre_batch: Literal["in_memory", "on_disk"] | None = None
    pre_batch_in_memory: bool = False
    train_batch_size: int | None = None
    validation_batch_size: int | None = None


@dataclass
class TrainerConfig:
    """Arguments of Lightning's Trainer; callbacks and the like are given by name and config."""

    accelerator: str = "auto"
    accumulate_grad_batches: int = 1
    barebones: bool = False
    benchmark: bool | None = None
    callbacks: list[Named] | dict[str, Named] | None = None
    check_val_every_n_epoch: int | None = 1
    default_root_dir: str | None = "training"
    detect_anomaly: bool = False
    deterministic: bool | Literal["warn"] | None = None
    devices: list[int] | str | int = "auto"
    enable_checkpointing: bool = True
    enable_model_summary: bool = True
    enable_progress_bar: bool = True
    fast_dev_run: int | bool = False
    gradient_clip_algorithm: str | None = None
    gradient_clip_val: int | float | None = None
    inference_mode: bool = True
    limit_predict_batches: int | float | None = None
    limit_test_batches: int | float | None = None
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    log_every_n_steps: int = 50
    logger: bool | Named | list[Named] | None = True
    max_epochs: int | None = 1
    max_steps: int = -1
    max_time: str | dict[str, int] | None = None
    min_epochs: int | None = None
    min_steps: int | None = None
    num_nodes: int = 1
    num_sanity_val_steps: int | None = None
    overfit_batches: int | float = 0.0
    precision: int | str = 32
    profiler: Named | None = None
    reload_dataloaders_every_n_epochs: int = 0
    strategy: str | Named = "auto"
    sync_batchnorm: bool = False
    use_distributed_sampler: bool = True
    val_check_interval: int | float | None = None


@dataclass
class LossConfig:
    """A loss of torch or of physicsml, and its weight in the sum."""

    name: str = "MSELoss"
    weight: float = 1.0
    config: Named = field(default_factory=dict)


@dataclass
class ModelConfig:
    """Common fields of the configurations of all models."""

    x_features: list[str] | None = None
    y_features: list[str] | None = None
    compute_forces: bool = False
    datamodule: DataModuleConfig = field(default_factory=DataModuleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig | None = field(default_factory=SchedulerConfig)
    transfer_learning: Named | None = None
    compile: bool | Named = False
    float32_matmul_precision: Literal["highest", "high", "medium"] | None = None


@dataclass
class EGNNModelConfig(ModelConfig):
    """physicsml's `egnn_model`; num_layers, c_hidden and num_rbf size torchml.models.EGNN."""

    num_node_feats: int = 0
    num_edge_feats: int = 0
    num_rbf: int = 20
    num_layers: int = 4
    num_layers_phi: int = 2
    num_layers_pooling: int = 2
    c_hidden: int = 128
    modify_coords: bool = True
    jitter: float | None = None
    pool_type: Literal["sum", "mean"] = "sum"
    pool_from: Literal["nodes", "nodes_edges", "edges"] = "nodes"
    dropout: float | None = None
    mlp_activation: str | None = "SiLU"
    mlp_output_activation: str | None = None
    output_activation: str | None = None
    scaling_mean: float = 0.0
    scaling_std: float = 1.0
    y_node_scalars_loss_config: LossConfig | None = None
    y_edge_scalars_loss_config: LossConfig | None = None
    y_graph_scalars_loss_config: LossConfig | None = None
    y_node_vector_loss_config: LossConfig | None = None
    y_edge_vector_loss_config: LossConfig | None = None
    y_graph_vector_loss_config: LossConfig | None = None
