"""Sections of a configuration, with the names and defaults of the Lightning edition of OCP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Class = dict[str, Any] | str  # {class_path, init_args}, or a class path alone
Files = str | list[str]


@dataclass
class Tune:
    """What `tune` looks for, as arguments of Lightning's Tuner.

    Attributes:
        batch_size: find the largest number of configurations per batch.
        lr: find a learning rate.
        mode: power doubles the size until memory is short; binsearch then searches between, and
            keeps 5 % in reserve.
        steps_per_trial: steps with each size.
        init_val: first size.
        max_trials: largest number of sizes to try.
        min_lr: first learning rate.
        max_lr: last learning rate.
        num_training: steps between them.
    """

    batch_size: bool = True
    lr: bool = True
    mode: Literal["power", "binsearch"] = "power"
    steps_per_trial: int = 3
    init_val: int = 2
    max_trials: int = 25
    min_lr: float = 1e-8
    max_lr: float = 1.0
    num_training: int = 100


@dataclass
class Configuration:
    """The whole; `overwrite` and `tune` are additions."""

    model: Any
    data: Any
    trainer: dict[str, Any] = field(default_factory=dict)
    optimizer: Class | None = None
    lr_scheduler: Class | None = None
    seed_everything: int | bool | None = None
    ckpt_path: str | None = None
    overwrite: bool = False
    tune: Tune = field(default_factory=Tune)


@dataclass
class Normalizers:
    """Mean and standard deviation of the energies (eV) and of the forces (eV/Å)."""

    target_mean: float = 0.0
    target_std: float = 1.0
    grad_target_mean: float = 0.0
    grad_target_std: float = 1.0


@dataclass
class Task:
    """S2EFLitModule and IS2RELitModule."""

    gnn: Class
    lr: float | None = None
    gamma: float | None = None
    energy_coefficient: float = 1.0
    force_coefficient: float = 1.0
    energy_loss: Class | None = None
    force_loss: Class | None = None
    normalize_kwargs: Normalizers | None = None
    regress_forces: bool | None = None
    nan_check: bool = False


@dataclass
class Data:
    """GraphDataModule and its subclasses."""

    train_path: Files
    val_path: Files | None = None
    test_path: Files | None = None
    batch_size: int = 32
    num_workers: int = 0
    dataset_class: str | None = None
    num_gpus: int | None = None
    point_cloud_size: int | None = None
    sample_size: int | None = None
    transforms: list[Any] | None = None


@dataclass
class GraphConvModel:
    """The graph convolution; `cutoff` (Å) is an addition, as it is for the models below."""

    atom_embedding_dim: int
    out_dim: int
    num_blocks: int = 3
    num_fc_layers: int = 3
    activation: Class = "torch.nn.SiLU"
    readout: Class = "dgl.nn.pytorch.SumPooling"
    cutoff: float = 6.0


@dataclass
class DimeNetPP:
    """DimeNet++; a cutoff is one of its own arguments."""

    emb_size: int = 128
    out_emb_size: int = 256
    int_emb_size: int = 64
    basis_emb_size: int = 8
    num_blocks: int = 4
    num_spherical: int = 7
    num_radial: int = 6
    cutoff: float = 5.0
    envelope_exponent: float = 5.0
    num_before_skip: int = 1
    num_after_skip: int = 2
    num_dense_output: int = 3
    activation: Class = "torch.nn.SiLU"
    extensive: bool = True


@dataclass
class PLEGNNBackbone:
    """EGNN; where OCP has no default, this is that of its example or what EGNN here has."""

    embed_hidden_dim: int
    embed_depth: int
    embed_in_dim: int = 1
    embed_out_dim: int | None = None
    embed_feat_dims: list[int] | None = None
    embed_message_dims: list[int] | None = None
    embed_position_dims: list[int] | None = None
    embed_edge_attributes_dim: int = 0
    embed_activation: str = "silu"
    embed_residual: bool = True
    embed_normalize: bool = True
    embed_tanh: bool = False
    embed_activate_last: bool = False
    embed_k_linears: int = 1
    embed_use_attention: bool = False
    embed_attention_norm: str = "sigmoid"
    readout: str = "sum"
    node_projection_depth: int | None = None
    node_projection_hidden_dim: int | None = None
    node_projection_activation: str = "silu"
    prediction_depth: int | None = None
    prediction_hidden_dim: int | None = None
    prediction_out_dim: int = 1
    prediction_activation: str = "silu"
    cutoff: float = 6.0


@dataclass
class GalaPotential:
    """GAANet."""

    D_in: int = 1
    hidden_dim: int = 32
    depth: int = 2
    dilation: float | None = None
    residual: bool = True
    nonlinearities: bool = True
    merge_fun: str = "mean"
    join_fun: str = "mean"
    invariant_mode: str = "single"
    rank: int = 2
    invar_value_normalization: str | None = None
    value_normalization: str | None = None
    score_normalization: str | None = None
    block_normalization: str | None = None
    pc_size: int | None = None
    pc_mini_batch: int | None = None
    cutoff: float = 6.0
