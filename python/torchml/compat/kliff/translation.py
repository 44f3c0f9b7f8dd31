"""Translate KLIFF's manifest into the configuration of `torchml fit`.

Every key has the meaning that KLIFF documents, also those that KLIFF itself ignores; a key without
equivalent is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from torchml.compat.kliff.manifest import (
    ConfigurationTransform,
    Dataset,
    DescriptorArguments,
    GraphArguments,
    Manifest,
    Training,
    Transforms,
    Weights,
    Workspace,
    load,
    parse,
)
from torchml.compat.kliff.networks import network_of, refused
from torchml.compat.typed import from_mapping
from torchml.data import read_weights
from torchml.errors import TorchMLError
from torchml.models.staged import StagedModel

DEFAULT_SEED = 12345
DEFAULT_EMA_DECAY = 0.99
DEFAULT_MIN_DELTA = 1e-3

NORMALIZED = "NormalizedPropertyTransform"
RMS = ("RMSNormalizePropertyTransform", "RMSMagnitudeNormalizePropertyTransform")


def translate(
    manifest: Mapping[str, Any] | str | Path, model: torch.nn.Module | None = None
) -> dict[str, Any]:
    """Translate a manifest into the configuration of `torchml fit`.

    Args:
        manifest: KLIFF's manifest, or the YAML file that contains it.
        model: the network, if the manifest does not name one by model.class_path.

    Returns:
        The configuration; a network that is an object is in it as this object.

    Raises:
        TorchMLError: a key is unknown or has no equivalent, or the model does not fit.
    """
    return configuration_of(parse(load(manifest)), model)


def configuration_of(manifest: Manifest, model: torch.nn.Module | None) -> dict[str, Any]:
    """Translate a manifest that `parse` returned."""
    inputs = inputs_of(manifest.transforms.configuration)
    network = network_of(manifest.model, inputs, model)
    own = isinstance(network, StagedModel)
    training = manifest.training
    return {
        "seed_everything": seed(manifest.workspace),
        "model": {
            "class_path": "torchml.training.S2EF",
            "init_args": {
                "model": network,
                **_loss(training, manifest.dataset),
                **_optimizer(training),
                "normalization": _normalization(manifest.transforms, own),
                "free_atoms_only": False,
            },
        },
        "data": _data(manifest),
        "trainer": _trainer(training),
        "checkpoint": {"every_n_epochs": training.ckpt_interval},
        "ema": _averaging(training),
        "early_stopping": _early_stopping(training),
    }


# --- Sections ----------------------------------------------------------------------------------


def seed(workspace: Workspace) -> int:
    """Return the seed, which has two names."""
    seeds = {seed for seed in (workspace.seed, workspace.random_seed) if seed is not None}
    if len(seeds) > 1:
        raise TorchMLError(
            "workspace.seed and workspace.random_seed differ, expected one seed for all"
        )
    return next(iter(seeds), DEFAULT_SEED)


def inputs_of(transform: ConfigurationTransform) -> GraphArguments | DescriptorArguments:
    """Return the graph or the descriptor that is the input of the model."""
    if transform.name not in ("RadialGraph", "Descriptor"):
        raise TorchMLError(
            f"transforms.configuration.name is {transform.name!r}, expected 'RadialGraph' or "
            "'Descriptor'"
        )
    place, kwargs = "transforms.configuration.kwargs", transform.kwargs or {}
    inputs: GraphArguments | DescriptorArguments
    if transform.name == "RadialGraph":
        inputs = from_mapping(GraphArguments, kwargs, place)
    else:
        inputs = from_mapping(DescriptorArguments, kwargs, place)
    if inputs.copy_to_config:
        raise refused(f"{place}.copy_to_config", "graphs are kept by the data module")
    return inputs


def _normalization(transforms: Transforms, own: bool) -> dict[str, Any]:
    """Translate property transforms, which scale energies and forces to the order of one.

    With KLIFF the exported model predicts scaled energies; here it predicts eV.
    """
    found: dict[str, str] = {}
    for key in ("property", "properties"):
        for number, entry in enumerate(getattr(transforms, key)):
            _property(entry, f"transforms.{key}[{number}]", found)
    if transforms.parameter:
        raise refused("transforms.parameter", "KIM models are trained by KLIFF's KIMTrainer")
    if found and own:
        raise refused(
            "transforms.property",
            "a network of one's own is exported unchanged, so its energies must be in eV; train "
            "an EdgeModel, or change the weights of the loss",
        )
    scale = "none"
    if found:
        scale = "forces" if "forces" in found else "energy"
    return {"references": "least_squares" if "energy" in found else "none", "scale": scale}


def _property(entry: Mapping[str, Any], place: str, found: dict[str, str]) -> None:
    """Read {name: energy, energy: {name: T}} or {name: T, property_key: energy}."""
    name = entry.get("name")
    if name is None:
        return
    if name in (NORMALIZED, *RMS):
        transform, label = name, entry.get("property_key")
        label = label or ("energy" if name == NORMALIZED else "forces")
        known, arguments = {"name", "property_key", "kwargs"}, entry.get("kwargs")
    else:
        inner = entry.get(name) if isinstance(entry.get(name), Mapping) else {}
        assert isinstance(inner, Mapping)
        transform, label = inner.get("name"), name
        known, arguments = {"name", "property_key", name}, inner.get("kwargs")
    unknown = [*(set(entry) - known), *(set(arguments or {}) - {"keep_original"})]
    if unknown:
        raise TorchMLError(f"{place}.{unknown[0]} is an unknown key")
    if label not in ("energy", "forces"):
        raise TorchMLError(f"{place} is about '{label}', expected 'energy' or 'forces'")
    if transform not in (NORMALIZED, *RMS) or (label == "energy") != (transform == NORMALIZED):
        raise TorchMLError(
            f"{place} names the transform '{transform}' for '{label}', expected {NORMALIZED} for "
            f"the energy or {' or '.join(RMS)} for the forces"
        )
    found[label] = transform


def _loss(training: Training, dataset: Dataset) -> dict[str, Any]:
    """Translate losses; with a file of weights, coefficients of nonzero weights are 1."""
    loss = training.loss
    losses = {"mse": "MSELoss", "mae": "L1Loss", "l1": "L1Loss"}
    name = losses.get(loss.function.lower(), loss.function)
    if not (name.endswith("Loss") and hasattr(torch.nn, name)):
        raise TorchMLError(
            f"training.loss.function is '{loss.function}', expected MSE, MAE or a loss of torch.nn "
            "such as HuberLoss"
        )
    weights = loss.weights
    if isinstance(weights, Weights):
        factor = 1.0 if weights.config is None else weights.config
        energy, forces, stress = (
            factor * (weight or 0.0) for weight in (weights.energy, weights.forces, weights.stress)
        )
    elif isinstance(weights, str):
        if dataset.weights is not None:
            raise TorchMLError(
                "dataset.weights and training.loss.weights both weigh single configurations, "
                "expected one of them"
            )
        rows = read_weights(weights)
        energy, forces, stress = (
            float(any(getattr(row, name) > 0 for row in rows))
            for name in ("energy", "forces", "stress")
        )
    else:
        energy, forces, stress = 1.0, 0.0, 0.0
    if min(energy, forces, stress) < 0 or max(energy, forces, stress) == 0:
        raise TorchMLError(
            f"training.loss.weights are energy {energy:g}, forces {forces:g}, stress {stress:g}; "
            "expected none below zero and one above"
        )
    kind = {"class_path": f"torch.nn.{name}"}
    return {
        "energy_coefficient": energy,
        "force_coefficient": forces,
        "stress_coefficient": stress,
        "energy_loss": kind,
        "force_loss": kind,
        "stress_loss": kind,
        "energy_per_atom": loss.normalize_per_atom,
    }


def _optimizer(training: Training) -> dict[str, Any]:
    optimizer = training.optimizer
    if (optimizer.provider or "torch").lower() != "torch":
        raise refused(f"training.optimizer.provider '{optimizer.provider}'", "expected 'torch'")
    if optimizer.lr_scheduler is not None and training.lr_scheduler is not None:
        raise TorchMLError(
            "training.lr_scheduler and training.optimizer.lr_scheduler are both given, expected one"
        )
    scheduler = optimizer.lr_scheduler or training.lr_scheduler
    made: dict[str, Any] = {
        "optimizer": {
            "class_path": _class("torch.optim", optimizer.name, "training.optimizer.name"),
            "init_args": {"lr": optimizer.learning_rate, **(optimizer.kwargs or {})},
        },
        "schedule": "constant",
    }
    if scheduler is not None:
        place = "training.optimizer.lr_scheduler.name"
        made["scheduler"] = {
            "class_path": _class("torch.optim.lr_scheduler", scheduler.name, place),
            "init_args": scheduler.args,
        }
    return made


def _class(module: str, name: str, place: str) -> str:
    if not isinstance(getattr(import_module(module), name, None), type):
        raise TorchMLError(f"{place} is '{name}', expected a class of {module}")
    return f"{module}.{name}"


def _averaging(training: Training) -> dict[str, Any] | None:
    optimizer = training.optimizer
    if optimizer.ema_decay is not None and not optimizer.ema:
        raise TorchMLError("training.optimizer.ema_decay needs ema, expected 'ema: true'")
    decay = DEFAULT_EMA_DECAY if optimizer.ema_decay is None else optimizer.ema_decay
    return {"decay": decay, "warm_up": False} if optimizer.ema else None


def _early_stopping(training: Training) -> dict[str, Any] | None:
    asked = training.early_stopping
    if asked is None:
        return None
    deltas = {delta for delta in (asked.delta, asked.min_delta) if delta is not None}
    if len(deltas) > 1:
        raise TorchMLError(
            "training.early_stopping has a delta and another min_delta, expected one of them"
        )
    return {"patience": asked.patience, "min_delta": next(iter(deltas), DEFAULT_MIN_DELTA)}


def _trainer(training: Training) -> dict[str, Any]:
    """Translate the arguments of Lightning's Trainer; Slurm sets the nodes, as in KLIFF."""
    if training.log_per_atom_pred:
        raise refused(
            "training.log_per_atom_pred",
            "no database of predictions is kept; 'torchml predict' writes the forces that any "
            "checkpoint predicts",
        )
    accelerator, devices = _devices(training)
    strategy = training.strategy or "auto"
    if accelerator == "cpu" and strategy.startswith("ddp"):
        # One process needs no distribution, and the strategy of notebooks would fork it.
        strategy = "auto"
    return {
        "max_epochs": training.epochs,
        "accelerator": accelerator,
        "devices": devices,
        "strategy": strategy,
        "num_nodes": int(os.environ.get("SLURM_JOB_NUM_NODES", 1)),
        "enable_model_summary": training.verbose,
        "gradient_clip_val": None,
    }


def _devices(training: Training) -> tuple[str, Any]:
    """Return accelerator and devices; `device` is torch's name, `accelerator` Lightning's."""
    device, accelerator = training.device, training.accelerator
    if device is None:
        return accelerator or "auto", 1 if accelerator == "cpu" else "auto"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise TorchMLError(f"training.device is '{device}', expected 'cpu', 'cuda' or 'cuda:K'")
    meant = "cpu" if kind == "cpu" else "gpu"
    if accelerator not in (None, "auto", meant, kind):
        raise TorchMLError(
            f"training.device is '{device}' and training.accelerator '{accelerator}', expected "
            "the same or only one of them"
        )
    if kind == "cpu":
        return "cpu", 1
    return "gpu", [int(index)] if index else "auto"


def _data(manifest: Manifest) -> dict[str, Any]:
    dataset, training = manifest.dataset, manifest.training
    database = {
        "type 'colabfit'": dataset.type == "colabfit",
        "colabfit_dataset": _has_value(dataset.colabfit_dataset),
        "colabfit_uri": dataset.colabfit_uri,
    }
    for key, given in database.items():
        if given:
            raise refused(
                f"dataset.{key}",
                "databases are not read; export the data set to extxyz and use type 'ase'",
            )
    if dataset.dynamic_loading:
        raise refused(
            "dataset.dynamic_loading",
            "graphs of files are built once and kept; data that exceed the memory are written by "
            "torchml.data.write_lmdb, and their graphs built when needed",
        )
    weights: Any = dataset.weights
    if isinstance(training.loss.weights, str):
        weights = training.loss.weights
    if isinstance(weights, Weights):
        weights = {name: value for name, value in vars(weights).items() if value is not None}
    data = {
        **_parts(manifest, in_order=isinstance(weights, str)),
        "keys": _keys(dataset),
        "weights": weights,
        "batch_size": training.batch_size,
        "duplicates": "allow",
        "num_workers": training.num_workers,
        "seed": seed(manifest.workspace),
    }
    return {key: value for key, value in data.items() if value is not None}


def _keys(dataset: Dataset) -> dict[str, str] | None:
    """Return names that differ from KLIFF's defaults, which mean the usual names."""
    given = {"energy": dataset.keys.energy, "forces": dataset.keys.forces}
    return {what: name for what, name in given.items() if name != what} or None


def _parts(manifest: Manifest, in_order: bool) -> dict[str, Any]:
    """Return files, and how they are split.

    If indices or weights refer to the data set, the files are listed in KLIFF's order.
    """
    dataset = manifest.dataset
    first, second = manifest.training.training_dataset, manifest.training.validation_dataset
    train, val = first.train_indices or first.train_size, second.val_indices or second.val_size
    for place, size, indices in (
        ("training_dataset.train", first.train_size, first.train_indices),
        ("validation_dataset.val", second.val_size, second.val_indices),
    ):
        if size is not None and indices is not None:
            raise TorchMLError(
                f"training.{place}_size and {place}_indices are both given, expected one of them"
            )
    ordered = in_order or bool(first.train_indices or second.val_indices)
    if dataset.shuffle or ordered:
        split = {"train": train, "val": val or None, "seed": seed(manifest.workspace)}
        return {
            "train": _files(Path(dataset.path)) if ordered else dataset.path,
            "split": {key: value for key, value in split.items() if value is not None},
        }
    # Not shuffled: as in KLIFF the first files are for training and the last ones for validation.
    files = _files(Path(dataset.path))
    if isinstance(files, str):
        raise refused(
            "dataset.shuffle false with a single file",
            "expected files of one configuration each, or train_indices and val_indices",
        )
    sizes = [_size(size, len(files)) for size in (train, val or 0)]
    if sizes[0] + sizes[1] > len(files):
        raise TorchMLError(
            f"training.training_dataset and validation_dataset ask for {sizes[0]} and {sizes[1]} "
            f"configurations, but {dataset.path} holds {len(files)} files"
        )
    if not sizes[1]:
        return {"train": files[: sizes[0]], "split": {"val": 0}}
    return {"train": files[: sizes[0]], "val": files[len(files) - sizes[1] :]}


def _size(size: Any, count: int) -> int:
    """Return a number of configurations from a number or a fraction; None: all."""
    if size is None:
        return count
    return round(size * count) if isinstance(size, float) else int(size)


def _files(path: Path) -> str | list[str]:
    """Return the path of a file, or the .xyz files below a folder in KLIFF's order."""
    if not path.is_dir():
        return str(path)
    files = sorted(path.rglob("*.xyz"))
    if not files:
        raise TorchMLError(f"dataset.path {path} holds no files that end in .xyz")
    return [str(file) for file in files]


def _has_value(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_value(item) for item in value.values())
    return value is not None
