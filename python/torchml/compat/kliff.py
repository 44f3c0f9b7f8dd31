"""KLIFF's way of training graph networks: its manifest, and a GNNLightningTrainer that takes it.

    from torchml.compat.kliff import GNNLightningTrainer

    trainer = GNNLightningTrainer(manifest, model=network)
    trainer.train()
    trainer.save_kim_model()

The manifest is a dictionary or a YAML file with KLIFF's keys. `translate` makes the one
configuration of `torchml fit` of it. Every key means what KLIFF documents, also those that KLIFF
itself ignores; what cannot be honoured is an error that names the key.

The network is one of KLIFF's kind, forward(species or z, coords, edge_index0, ..., contributions),
or an EdgeModel of this package; the model section may also name the class of one.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from torchml.compat.kliff_manifest import (
    ConfigurationTransform,
    Dataset,
    GraphArguments,
    Manifest,
    Model,
    Training,
    Transforms,
    Weights,
    Workspace,
    load,
    parse,
)
from torchml.compat.typed import read as read_typed
from torchml.errors import TorchMLError
from torchml.metadata import quiet_torchscript
from torchml.models import EdgeModel, build
from torchml.models.staged import StagedModel

PRECISIONS = {"double": "float64", "single": "float32"}
DEFAULT_SEED = 12345
DEFAULT_EMA_DECAY = 0.99
DEFAULT_MIN_DELTA = 1e-3

NORMALIZED = "NormalizedPropertyTransform"
RMS = ("RMSNormalizePropertyTransform", "RMSMagnitudeNormalizePropertyTransform")


def translate(
    manifest: Mapping[str, Any] | str | Path, model: torch.nn.Module | None = None
) -> dict[str, Any]:
    """The one configuration that a manifest means.

    `model` is the network, unless the manifest says model.class_path; it stands in the result as
    the object that it is when it is no class of this package.
    """
    return configuration_of(parse(load(manifest)), model)


def configuration_of(manifest: Manifest, model: torch.nn.Module | None) -> dict[str, Any]:
    """The same for a manifest that has been read."""
    network = network_of(manifest, model)
    own = isinstance(network, StagedModel)
    training = manifest.training
    configuration: dict[str, Any] = {
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
    }
    if training.optimizer.ema:
        configuration["ema"] = {"decay": _decay(training), "warm_up": False}
    if training.early_stopping is not None:
        configuration["early_stopping"] = _early_stopping(training)
    return configuration


# --- Sections ----------------------------------------------------------------------------------


def seed(workspace: Workspace) -> int:
    """The seed, under whichever of its two names."""
    given = {one for one in (workspace.seed, workspace.random_seed) if one is not None}
    if len(given) > 1:
        raise TorchMLError(
            "workspace.seed and workspace.random_seed differ, expected one seed for all"
        )
    return next(iter(given), DEFAULT_SEED)


def graph_of(transform: ConfigurationTransform) -> GraphArguments:
    """The graph that the model is given."""
    if transform.name == "Descriptor":
        raise _refused(
            "transforms.configuration.name 'Descriptor'",
            "this is the trainer of graph networks; expected 'RadialGraph', or "
            "torchml.models.BehlerParrinello for a network on symmetry functions",
        )
    if transform.name != "RadialGraph":
        raise TorchMLError(
            f"transforms.configuration.name is {transform.name!r}, expected 'RadialGraph'"
        )
    return read_typed(GraphArguments, transform.kwargs or {}, "transforms.configuration.kwargs")


def _normalization(transforms: Transforms, own: bool) -> dict[str, Any]:
    """Property transforms: the network learns energies and forces of the order of one.

    KLIFF's transforms would leave the exported model in these units; here it predicts eV.
    """
    found: dict[str, str] = {}
    for key in ("property", "properties"):
        for number, entry in enumerate(getattr(transforms, key)):
            _property(entry, f"transforms.{key}[{number}]", found)
    if transforms.parameter:
        raise _refused("transforms.parameter", "KIM models are trained by KLIFF's KIMTrainer")
    if found and own:
        raise _refused(
            "transforms.property",
            "a network of one's own is exported unchanged, so its energies must be in eV; train "
            "an EdgeModel, or change the weights of the loss",
        )
    scale = "none"
    if found:
        scale = "forces" if "forces" in found else "energy"
    return {"references": "least_squares" if "energy" in found else "none", "scale": scale}


def _property(entry: Mapping[str, Any], place: str, found: dict[str, str]) -> None:
    """Both spellings: {name: energy, energy: {name: T}} and {name: T, property_key: energy}."""
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
    """Coefficients and losses; a file with weights leaves the coefficients at one."""
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
            factor * (one or 0.0) for one in (weights.energy, weights.forces, weights.stress)
        )
    elif isinstance(weights, str):
        if dataset.weights is not None:
            raise TorchMLError(
                "dataset.weights and training.loss.weights both weigh single configurations, "
                "expected one of them"
            )
        energy = forces = stress = 1.0
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
        raise _refused(f"training.optimizer.provider '{optimizer.provider}'", "expected 'torch'")
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


def _decay(training: Training) -> float:
    decay = training.optimizer.ema_decay
    return DEFAULT_EMA_DECAY if decay is None else decay


def _early_stopping(training: Training) -> dict[str, Any]:
    asked = training.early_stopping
    assert asked is not None
    given = {one for one in (asked.delta, asked.min_delta) if one is not None}
    if len(given) > 1:
        raise TorchMLError(
            "training.early_stopping has a delta and another min_delta, expected one of them"
        )
    return {"patience": asked.patience, "min_delta": next(iter(given), DEFAULT_MIN_DELTA)}


def _trainer(training: Training) -> dict[str, Any]:
    """Lightning's part. Nodes are Slurm's, as in KLIFF."""
    if training.log_per_atom_pred:
        raise _refused(
            "training.log_per_atom_pred",
            "no database of predictions is kept; 'torchml predict' writes the forces that any "
            "checkpoint predicts",
        )
    accelerator, devices = _devices(training)
    strategy = training.strategy or "auto"
    if accelerator == "cpu" and strategy.startswith("ddp"):
        # One process: there is nothing to distribute, and a notebook's strategy would fork it.
        strategy = "auto"
    return {
        "max_epochs": training.epochs,
        "accelerator": accelerator,
        "devices": devices,
        "strategy": strategy,
        "num_nodes": int(os.environ.get("SLURM_JOB_NUM_NODES", 1)),
        "enable_model_summary": training.verbose,
    }


def _devices(training: Training) -> tuple[str, Any]:
    """Accelerator and devices; KLIFF's device is a word of torch, its accelerator of Lightning."""
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
    if dataset.type == "colabfit" or dataset.colabfit_uri or _has_value(dataset.colabfit_dataset):
        raise _refused(
            "dataset.type 'colabfit'",
            "databases are not read; export the data set to extxyz and use type 'ase'",
        )
    if dataset.dynamic_loading:
        raise _refused(
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
        "num_workers": training.num_workers,
        "seed": seed(manifest.workspace),
    }
    return {key: value for key, value in data.items() if value is not None}


def _keys(dataset: Dataset) -> dict[str, str] | None:
    """Names that differ from KLIFF's defaults; these stand for the usual names in any case."""
    given = {"energy": dataset.keys.energy, "forces": dataset.keys.forces}
    return {what: name for what, name in given.items() if name != what} or None


def _parts(manifest: Manifest, in_order: bool) -> dict[str, Any]:
    """Files, and how they are split.

    Where places in the data set matter, the files are listed in KLIFF's order.
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
    # Not shuffled: the first files train and the last ones validate, as KLIFF cuts its permutation.
    files = _files(Path(dataset.path))
    if isinstance(files, str):
        raise _refused(
            "dataset.shuffle false with a single file",
            "expected files of one configuration each, or train_indices and val_indices",
        )
    sizes = [_size(size, len(files)) for size in (train, val or 0)]
    if sizes[0] + sizes[1] > len(files):
        raise TorchMLError(
            f"training.training_dataset and validation_dataset ask for {sizes[0]} and {sizes[1]} "
            f"configurations, but {dataset.path} holds {len(files)} files"
        )
    parts: dict[str, Any] = {"train": files[: sizes[0]]}
    if sizes[1]:
        parts["val"] = files[len(files) - sizes[1] :]
    return parts


def _size(size: Any, count: int) -> int:
    """A number of configurations from a number or a share of them; without, all."""
    if size is None:
        return count
    return round(size * count) if isinstance(size, float) else int(size)


def _files(path: Path) -> str | list[str]:
    """The path of a file, or the .xyz files in a folder and below it, in KLIFF's order."""
    if not path.is_dir():
        return str(path)
    files = sorted(path.rglob("*.xyz"))
    if not files:
        raise TorchMLError(f"dataset.path {path} holds no files that end in .xyz")
    return [str(file) for file in files]


# --- The model -----------------------------------------------------------------------------------


def network_of(manifest: Manifest, model: torch.nn.Module | None) -> Any:
    """The model as the configuration takes it: {class_path, init_args}, or the object itself."""
    section, graph = manifest.model, graph_of(manifest.transforms.configuration)
    if section.type not in (None, "torch"):
        raise _refused(f"model.type '{section.type}'", "expected 'torch', or KLIFF's KIMTrainer")
    if section.collection not in (None, "user"):
        raise _refused("model.collection", "it is where KIM models are looked for")
    archive = _archive(section.model_path or section.path)
    given = [one is not None for one in (model, section.class_path, archive)]
    if sum(given) > 1:
        raise TorchMLError(
            "the model is given more than once, expected one of: an object, model.class_path, or "
            "the path of a TorchScript archive"
        )
    if section.class_path is not None:
        return _by_class(section.class_path, dict(section.init_args or {}), graph, section)
    if archive is not None:
        with quiet_torchscript():
            model = torch.jit.load(str(archive), map_location="cpu")
    if model is None:
        raise TorchMLError(
            "there is no model: give one to GNNLightningTrainer, or name its class by "
            "model.class_path, or a TorchScript archive by model.path"
        )
    if isinstance(model, EdgeModel):
        return _edge_model(model, graph, section)
    return _own_network(model, graph, section)


def _archive(path: str | None) -> Path | None:
    """A TorchScript archive; KLIFF's documentation also gives a folder where a model is at hand."""
    if path is None or Path(path).is_dir():
        return None
    if not Path(path).is_file():
        raise TorchMLError(f"model.path {path}: no such file, expected a TorchScript archive")
    return Path(path)


def _by_class(
    class_path: str, arguments: dict[str, Any], graph: GraphArguments, section: Model
) -> dict[str, Any]:
    """A class with the graph's species, cutoff and layers as its arguments."""
    arguments.setdefault("species", graph.species)
    arguments.setdefault("cutoff", graph.cutoff)
    arguments.setdefault("layers", graph.n_layers)
    if section.precision is not None:
        arguments.setdefault("dtype", PRECISIONS[section.precision])
    _edge_model(build(class_path, arguments), graph, section)
    return {"class_path": class_path, "init_args": arguments}


def _edge_model(model: EdgeModel, graph: GraphArguments, section: Model) -> EdgeModel:
    """The model, if it is one for this graph."""
    _check_fields(section.input_args, graph)
    for name, mine, asked in (
        ("species", model.species, graph.species),
        ("cutoff", model.cutoff, graph.cutoff),
        ("layers", model.layers, graph.n_layers),
    ):
        if mine != asked:
            raise TorchMLError(
                f"{type(model).__name__} has {name} {mine}, but transforms.configuration.kwargs "
                f"say {asked}"
            )
    if section.precision is not None and PRECISIONS[section.precision] != _dtype(model):
        raise TorchMLError(
            f"model.precision is '{section.precision}', but {type(model).__name__} was made with "
            f"{_dtype(model)}: give it dtype='{PRECISIONS[section.precision]}'"
        )
    return model


def _own_network(model: torch.nn.Module, graph: GraphArguments, section: Model) -> StagedModel:
    """A network of KLIFF's kind, whose arguments come in the order of the driver."""
    if graph.mic:
        raise _refused(
            "transforms.configuration.kwargs.mic",
            "a network of one's own takes the graphs with ghosts that a simulator gives",
        )
    names = argument_names(model)
    expected = _check_fields(section.input_args or names, graph)
    if names != expected:
        raise TorchMLError(
            f"forward of {type(model).__name__} takes {', '.join(names)}; a simulator gives its "
            f"arguments in the order {', '.join(expected)}"
        )
    if section.precision is not None:
        model = model.to(getattr(torch, PRECISIONS[section.precision]))
    return StagedModel(
        model,
        graph.species,
        graph.cutoff,
        graph.n_layers,
        "code" if expected[0] == "species" else "atomic_number",
    )


def _check_fields(given: list[str] | None, graph: GraphArguments) -> list[str]:
    """What a simulator gives to a graph network, in its order; other fields are refused."""
    first = "species" if "species" in (given or ()) else "z"
    stages = [f"edge_index{k}" for k in range(graph.n_layers)]
    expected = [first, "coords", *stages, "contributions"]
    if given is not None and sorted(given) != sorted(expected):
        raise TorchMLError(
            f"model.input_args are {', '.join(given)}; for n_layers {graph.n_layers} a simulator "
            f"gives {', '.join(expected)}, where the first may be species or z"
        )
    return expected


def argument_names(model: torch.nn.Module) -> list[str]:
    """Names of the arguments of forward."""
    if isinstance(model, torch.jit.ScriptModule):
        schema: Any = model.forward.schema  # type: ignore[attr-defined]
        return [argument.name for argument in schema.arguments][1:]
    return list(inspect.signature(model.forward).parameters)


def _dtype(model: torch.nn.Module) -> str:
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def _has_value(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_value(one) for one in value.values())
    return value is not None


def _refused(what: str, why: str) -> TorchMLError:
    return TorchMLError(f"{what} cannot be honoured: {why}")
