"""Translate physicsml's configurations, dataclasses or dictionaries, for `torchml fit`.

    from torchml.compat.physicsml import translate
    from torchml.training import fit

    fit(translate(
        {"name": "egnn_model", "config": {...}},
        train="train.parquet",
        species=["H", "C", "N", "O"],
    ))

Data come from files instead of featurised data sets; `species` are the elements in the order of
the mapping of atomic numbers. Fields have physicsml's names; a value without equivalent is an error
that names the field.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from operator import attrgetter
from typing import Any

import torch

from torchml.compat import typed
from torchml.compat.physicsml.configs import (
    DataModuleConfig,
    EGNNModelConfig,
    LossConfig,
    ModelConfig,
    TrainerConfig,
)
from torchml.errors import TorchMLError

Files = str | Sequence[str]

MODELS: dict[str, type[ModelConfig]] = {"egnn_model": EGNNModelConfig}

# Fields that have only one possible value, and what to do instead.
ONLY: dict[str, tuple[Any, str]] = {
    "compile": (False, "models are compiled to TorchScript when they are exported"),
    "transfer_learning": (None, "load a checkpoint by torchml.training.load_model instead"),
    "float32_matmul_precision": (None, "call torch.set_float32_matmul_precision instead"),
    "num_edge_feats": (0, "edges have no features but their vectors"),
    "num_layers_phi": (2, "the perceptrons of EGNN have two layers"),
    "num_layers_pooling": (2, "the readout has two layers"),
    "modify_coords": (True, "the atoms of EGNN are moved by their messages"),
    "jitter": (None, "structures are taken as they are"),
    "pool_type": ("sum", "an energy is the sum over its atoms"),
    "pool_from": ("nodes", "an energy is the sum over its atoms"),
    "dropout": (None, "an energy must not depend on chance"),
    "mlp_activation": ("SiLU", "the activation is SiLU"),
    "mlp_output_activation": (None, "perceptrons end linearly"),
    "output_activation": (None, "energies are not bounded"),
    "scaling_mean": (0.0, "energies are extensive: give atomic_energies"),
    "datamodule.train.drop_last": (False, "no configuration is left out"),
    "datamodule.self_interaction": (False, "an atom is no neighbour of itself"),
    "datamodule.use_scaled_positions": (False, "positions are in Å"),
    "datamodule.max_nbins": (1_000_000, "neighbours are found otherwise"),
    "datamodule.pbc": (None, "each structure has its own periodic directions"),
    "datamodule.cell": (None, "each structure has its own cell"),
    "datamodule.graph_attrs_cols": (None, "configurations have no features"),
    "datamodule.atomic_numbers_col": ("physicsml_atom_numbers", "files use the usual names"),
    "datamodule.coordinates_col": ("physicsml_coordinates", "files use the usual names"),
    "datamodule.node_attrs_col": ("physicsml_atom_features", "atoms have no features"),
    "datamodule.edge_attrs_col": ("physicsml_bond_features", "bonds have no features"),
    "datamodule.node_idxs_col": ("physicsml_atom_idxs", "atoms are numbered as in the file"),
    "datamodule.edge_idxs_col": ("physicsml_bond_idxs", "neighbours are found by distance"),
    "datamodule.total_atomic_energy_col": (
        "physicsml_total_atomic_energy",
        "give atomic_energies, by element",
    ),
    "trainer.use_distributed_sampler": (True, "each rank gets its share of the data"),
}

# Kinds of targets, by the field that lists their columns.
KINDS = {
    "y_node_scalars": "node_scalar",
    "y_edge_scalars": "edge_scalar",
    "y_graph_scalars": "graph_scalar",
    "y_node_vector": "node_vector",
    "y_edge_vector": "edge_vector",
    "y_graph_vector": "graph_vector",
}
METRICS = {"val_loss": "val/loss", "val/total/loss": "val/loss", "train/total/loss": "train/loss"}
PRECISIONS = {"32": "float32", "32-true": "float32", "64": "float64", "64-true": "float64"}
OF_THE_RUN = ("num_steps", "num_epochs")


def from_dict(content: Mapping[str, Any]) -> ModelConfig:
    """The dataclass of {"name": "egnn_model", "config": {...}}; unknown keys are errors."""
    if set(content) - {"name", "config"} or "name" not in content:
        raise TorchMLError(
            f"the configuration has the keys {', '.join(map(str, content)) or 'none'}, expected "
            "'name' and 'config'"
        )
    name = content["name"]
    if name not in MODELS:
        raise TorchMLError(
            f"name '{name}' cannot be honoured: expected {' or '.join(MODELS)}; torchml.models has "
            "other models for 'torchml fit'"
        )
    return typed.from_mapping(MODELS[name], content.get("config") or {}, "config")


def translate(
    config: ModelConfig | Mapping[str, Any],
    train: Files,
    species: Sequence[str],
    validation: Files | None = None,
    test: Files | None = None,
    atomic_energies: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Translate a configuration of physicsml into the configuration of `torchml fit`.

    Args:
        config: a dataclass of this module, or {"name": ..., "config": {...}}.
        train: files with the training configurations; validation and test likewise.
        species: the elements, in the order of the mapping of atomic numbers.
        atomic_energies: fixed energies of the elements (eV).

    Raises:
        TorchMLError: a field is unknown or has a value without equivalent.
    """
    if isinstance(config, Mapping):
        config = from_dict(config)
    config = typed.from_mapping(type(config), config, "config")
    if not isinstance(config, EGNNModelConfig):
        raise TorchMLError(f"{type(config).__name__} names no model, expected EGNNModelConfig")
    for name, (value, why) in ONLY.items():
        if attrgetter(name)(config) != value:
            raise TorchMLError(f"config.{name} cannot be honoured: {why}; expected {value!r}")
    return {
        "model": {
            "class_path": "torchml.training.S2EF",
            "init_args": {
                "model": _egnn(config, species),
                **_targets(config),
                **_optimization(config),
                "normalization": {
                    "references": dict(atomic_energies) if atomic_energies else "none",
                    "scale": config.scaling_std,
                },
            },
        },
        "data": _data(config, train, validation, test),
        "trainer": _trainer(config.trainer),
        "ema": None,
    }


# --- Model and losses ----------------------------------------------------------------------------


def _egnn(config: EGNNModelConfig, species: Sequence[str]) -> dict[str, Any]:
    data = config.datamodule
    for name, count in (
        ("datamodule.num_elements", data.num_elements),
        ("num_node_feats", config.num_node_feats),
    ):
        if count not in (0, len(species)):
            raise TorchMLError(
                f"config.{name} is {count}, but there are {len(species)} species: "
                f"{' '.join(species)}"
            )
    if config.num_rbf < 1:
        raise TorchMLError(
            "config.num_rbf cannot be honoured: EGNN expands distances; expected at least 1"
        )
    if str(config.trainer.precision) not in PRECISIONS:
        raise TorchMLError(
            f"config.trainer.precision '{config.trainer.precision}' cannot be honoured: expected "
            "32 or 64"
        )
    return {
        "class_path": "torchml.models.EGNN",
        "init_args": {
            "species": list(species),
            "cutoff": data.cut_off,
            "layers": config.num_layers,
            "features": config.c_hidden,
            "radial_functions": config.num_rbf,
            "dtype": PRECISIONS[str(config.trainer.precision)],
        },
    }


def _columns(config: EGNNModelConfig) -> dict[str, list[str]]:
    """Return the columns of each y_...; each needs a loss, and y_features must list all."""
    columns_of: dict[str, list[str]] = {}
    for name in KINDS:
        value = getattr(config.datamodule, name)
        loss = getattr(config, f"{name}_loss_config")
        if (value is None) != (loss is None):
            lacking, there = f"datamodule.{name}", f"{name}_loss_config"
            if value is not None:
                lacking, there = there, lacking
            raise TorchMLError(f"config.{lacking} is missing, expected it beside config.{there}")
        if value is not None:
            columns_of[name] = [value] if isinstance(value, str) else value
    if not columns_of:
        raise TorchMLError("config.datamodule names no labels, expected y_graph_scalars or others")
    names = [column for columns in columns_of.values() for column in columns]
    if config.y_features is not None and sorted(config.y_features) != sorted(names):
        raise TorchMLError(
            f"config.y_features are {', '.join(config.y_features)}, but the datamodule names "
            f"{', '.join(names)}"
        )
    return columns_of


def _targets(config: EGNNModelConfig) -> dict[str, Any]:
    """Return targets: energy (first graph scalar), forces (node vector), and further targets.

    The loss of several columns is the mean of their losses.
    """
    columns = _columns(config)
    made: dict[str, Any] = {"energy_coefficient": 0.0, "force_coefficient": 0.0}
    targets = []
    if config.compute_forces and not {"y_graph_scalars", "y_node_vector"} <= set(columns):
        raise TorchMLError(
            "config.compute_forces needs datamodule.y_graph_scalars, whose first is the energy, "
            "and datamodule.y_node_vector, the forces"
        )
    for name, labels in columns.items():
        loss: LossConfig = getattr(config, f"{name}_loss_config")
        kind, per_atom = _loss(loss, f"config.{name}_loss_config")
        share = loss.weight / len(labels)
        rest = labels
        if name == "y_graph_scalars":
            made |= {"energy_coefficient": share, "energy_loss": kind, "energy_per_atom": per_atom}
            rest = labels[1:]
        elif name == "y_node_vector" and config.compute_forces:
            made |= {"force_coefficient": share, "force_loss": kind}
            rest = []
        targets += [
            {"name": column, "kind": KINDS[name], "coefficient": share, "loss": kind}
            for column in rest
        ]
    if targets:
        made["targets"] = targets
    if any(loss is not None and loss.name == "MaskedMSELoss" for loss in _losses(config)):
        made["missing"] = "mask"
    return made


def _losses(config: EGNNModelConfig) -> list[LossConfig | None]:
    return [getattr(config, f"{name}_loss_config") for name in KINDS]


def _loss(config: LossConfig, place: str) -> tuple[dict[str, Any], bool]:
    """Return the class of a loss, and whether it compares energies per atom."""
    if config.weight < 0:
        raise TorchMLError(f"{place}.weight is {config.weight}, expected 0 or more")
    arguments = {"init_args": config.config} if config.config else {}
    if config.name in ("MaskedMSELoss", "WeightedMSELoss"):
        # Every loss leaves out missing labels and can weight by the number of atoms.
        return {"class_path": "torch.nn.MSELoss", **arguments}, config.name == "WeightedMSELoss"
    if config.name == "SerialBCEWithLogitsLoss":
        return {"class_path": f"torchml.training.loop.losses.{config.name}", **arguments}, False
    if not (config.name.endswith("Loss") and hasattr(torch.nn, config.name)):
        raise TorchMLError(
            f"{place}.name '{config.name}' cannot be honoured: expected a loss of torch.nn, "
            "MaskedMSELoss, WeightedMSELoss or SerialBCEWithLogitsLoss"
        )
    return {"class_path": f"torch.nn.{config.name}", **arguments}, False


# --- Optimisation --------------------------------------------------------------------------------


def _optimization(config: ModelConfig) -> dict[str, Any]:
    name = config.optimizer.name
    path = _class("torch.optim", name, "config.optimizer.name")
    made: dict[str, Any] = {
        "optimizer": {"class_path": path, "init_args": dict(config.optimizer.config)},
        "schedule": "constant",
    }
    scheduler = config.scheduler
    if scheduler is None:
        return made
    if scheduler.frequency != 1:
        raise TorchMLError(
            "config.scheduler.frequency cannot be honoured: schedulers step every epoch or every "
            "step; expected 1"
        )
    arguments = dict(scheduler.config)
    if scheduler.name == "CosineAnnealingLR" and arguments == {"T_max": "num_steps"}:
        return made | {"schedule": "cosine"}
    interval = scheduler.interval
    for key in ("T_max", "total_steps"):
        if arguments.get(key) == "num_steps":
            raise TorchMLError(
                f"config.scheduler.config.{key} 'num_steps' cannot be honoured beside other "
                "arguments than those of CosineAnnealingLR's T_max; expected a number"
            )
        if arguments.get(key) == "num_epochs":
            arguments[key], interval = config.trainer.max_epochs, "epoch"
    path = _class("torch.optim.lr_scheduler", scheduler.name, "config.scheduler.name")
    return made | {
        "scheduler": {"class_path": path, "init_args": arguments},
        "scheduler_interval": interval,
        "monitor": METRICS.get(scheduler.monitor, scheduler.monitor),
    }


def _class(module: str, name: str, place: str) -> str:
    if not isinstance(getattr(import_module(module), name, None), type):
        raise TorchMLError(f"{place} is '{name}', expected a class of {module}")
    return f"{module}.{name}"


# --- Data ----------------------------------------------------------------------------------------


def _data(
    config: EGNNModelConfig, train: Files, validation: Files | None, test: Files | None
) -> dict[str, Any]:
    data = config.datamodule
    scalars = data.y_graph_scalars or []
    forces = data.y_node_vector if config.compute_forces else None
    targets = [
        column
        for name, columns in _columns(config).items()
        for column in columns
        if column not in (*scalars[:1], forces)
    ]
    keys: dict[str, Any] = {"energy": scalars[0] if scalars else None, "forces": forces}
    made = {
        "train": _paths(train),
        "val": _paths(validation),
        "test": _paths(test),
        "keys": keys | ({"targets": targets} if targets else {}),
        "batch_size": _batch_size(data),
        "num_workers": data.num_workers,
        "pre_batch": "in_memory" if data.pre_batch_in_memory else data.pre_batch,
        # Without validation data no training data are used for validation.
        "split": {"val": 0} if validation is None else None,
    }
    return {key: value for key, value in made.items() if value is not None}


def _paths(files: Files | None) -> str | list[str] | None:
    return files if files is None or isinstance(files, str) else list(files)


def _batch_size(data: DataModuleConfig) -> int:
    """Return the batch size of training; others do not change results and give a warning."""
    sizes = {
        "train": data.train_batch_size or data.train.batch_size,
        "validation": data.validation_batch_size or data.validation.batch_size,
        "test": data.test.batch_size,
        "predict": data.predict.batch_size,
    }
    for name, size in sizes.items():
        if isinstance(size, dict):
            raise TorchMLError(
                f"config.datamodule.{name}.batch_size is a mapping, expected a number: there is "
                "one data set"
            )
        if size not in (1, sizes["train"]):
            warnings.warn(
                f"config.datamodule.{name}.batch_size is {size}: batches of {sizes['train']} are "
                "used everywhere, with the same results",
                stacklevel=4,
            )
    size = sizes["train"]
    assert isinstance(size, int)
    return size


# --- Trainer -------------------------------------------------------------------------------------


def _trainer(config: TrainerConfig) -> dict[str, Any]:
    """Return what differs from the defaults of Lightning or of this package."""
    default = TrainerConfig()
    made = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != getattr(default, field.name)
        and field.name not in ("precision", "callbacks", "logger", "profiler", "strategy")
    }
    made |= {
        "max_epochs": config.max_epochs,
        "default_root_dir": config.default_root_dir,
        "gradient_clip_val": config.gradient_clip_val,
    }
    if config.callbacks:
        callbacks = config.callbacks
        entries = list(callbacks.values()) if isinstance(callbacks, dict) else callbacks
        made["callbacks"] = [_named(entry, "callbacks") for entry in entries]
    if config.logger in (None, False):
        made["logger"] = False
    elif not isinstance(config.logger, bool):
        loggers = config.logger
        if isinstance(loggers, dict):
            loggers = [loggers] if "name" in loggers else list(loggers.values())
        made["logger"] = [_named(entry, "loggers") for entry in loggers or ()]
    if config.profiler is not None:
        made["profiler"] = _named(config.profiler, "profilers")
    strategy = config.strategy
    made["strategy"] = strategy if isinstance(strategy, str) else _named(strategy, "strategies")
    return made


def _named(entry: Mapping[str, Any], module: str) -> dict[str, Any]:
    """Translate {"name": ..., "config": {...}} into a class of Lightning."""
    name = entry.get("name")
    if set(entry) - {"name", "config"} or not isinstance(name, str):
        raise TorchMLError(
            f"config.trainer has an entry {dict(entry)!r} among its {module}, expected 'name' and "
            "'config'"
        )
    path = _class(f"lightning.pytorch.{module}", name, f"config.trainer.{module}")
    arguments = {
        key: METRICS.get(value, value) if isinstance(value, str) else value
        for key, value in (entry.get("config") or {}).items()
    }
    return {"class_path": path, "init_args": arguments}
