"""Translate a configuration of the Lightning edition of OCP for `torchml fit`.

    from torchml.compat.ocp_lightning import translate
    from torchml.training import fit

    fit(translate("s2ef", "gcn.yml"))

Keys have the names there; unknown ones are errors. Energies are in eV here: a mean and a standard
deviation become reference energies and a scale of the network, so that its loss is in the same
units, and its predictions are not.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L

from torchml.compat.arguments import check_arguments
from torchml.compat.ocp_lightning import documents
from torchml.compat.ocp_lightning.configs import Class, Configuration, Data, Normalizers, Task, Tune
from torchml.compat.ocp_lightning.documents import class_and_arguments
from torchml.compat.ocp_lightning.networks import network
from torchml.compat.typed import from_mapping
from torchml.data.notices import notify
from torchml.errors import TorchMLError

Command = Literal["fit", "validate", "test", "predict", "tune"]
COMMANDS: tuple[Command, ...] = ("fit", "validate", "test", "predict", "tune")

# Class names, those of the documentation included.
TASKS = {
    "S2EFLitModule": "s2ef",
    "S2EFLightningModule": "s2ef",
    "S2EFPointCloudModule": "s2ef",
    "IS2RELitModule": "is2re",
    "IS2RELightningModule": "is2re",
    "IS2REPointCloudModule": "is2re",
}
_OURS = {"s2ef": "torchml.training.S2EF", "is2re": "torchml.training.IS2RE"}

# Data modules, and the task whose labels they read; None for both.
DATA_MODULES = {
    "GraphDataModule": None,
    "DGLDataModule": None,
    "PyGDataModule": None,
    "PointCloudDataModule": None,
    "S2EFDGLDataModule": "s2ef",
    "S2EFPyGDataModule": "s2ef",
    "IS2REDGLDataModule": "is2re",
    "IS2REPyGDataModule": "is2re",
}
DATASETS = {"S2EFDataset": "s2ef", "IS2REDataset": "is2re", "TrajectoryLmdbDataset": "s2ef"}

# Names of metrics that callbacks and schedulers monitor.
METRICS = {
    "train_energy": "train/energy_loss",
    "train_force": "train/forces_loss",
    "train_total": "train/loss",
    "train_loss": "train/loss",
    "validation_loss": "val/loss",
    "validation_energy": "val/energy_loss",
    "validation_force": "val/forces_loss",
    "validation_total": "val/loss",
    "val_loss": "val/loss",
    "test_loss": "test/loss",
}
# Powers of a common factor of prediction and label that a loss is proportional to.
_POWERS = {"torch.nn.L1Loss": 1, "torch.nn.MSELoss": 2}
DTYPES = {"32": "float32", "32-true": "float32", "64": "float64", "64-true": "float64"}

# Arguments of Lightning 1.6's trainer that 2 has no more, and their names now.
_DEVICES = ("gpus", "num_gpus", "num_processes")
_TUNING = {"auto_scale_batch_size": "batch_size", "auto_lr_find": "lr"}
_RENAMED = (*_DEVICES, *_TUNING, "resume_from_checkpoint")
# Those without counterpart, with their defaults: each run of Lightning 1 wrote them into a file.
_REMOVED = {
    "checkpoint_callback": None,
    "process_position": 0,
    "auto_select_gpus": False,
    "tpu_cores": None,
    "ipus": None,
    "log_gpu_memory": None,
    "progress_bar_refresh_rate": None,
    "track_grad_norm": -1,
    "flush_logs_every_n_steps": None,
    "weights_summary": "top",
    "weights_save_path": None,
    "replace_sampler_ddp": True,
    "prepare_data_per_node": None,
    "amp_backend": "native",
    "amp_level": None,
    "move_metrics_to_cpu": False,
    "multiple_trainloader_mode": "max_size_cycle",
    "stochastic_weight_avg": False,
    "terminate_on_nan": None,
}
_TRAINER = tuple(inspect.signature(L.Trainer).parameters)


def translate(
    task: str | None,
    config: Mapping[str, Any] | str | Path | Sequence[str | Path],
    command: Command = "fit",
) -> dict[str, Any]:
    """Translate a configuration of the Lightning edition.

    Args:
        task: s2ef or is2re; None for that of model.class_path.
        config: its content, a YAML file, or several files, of which later ones replace values.
        command: fit, validate, test, predict or tune, whose data must be there.

    Returns:
        The argument of `torchml.training.fit`.

    Raises:
        TorchMLError: a key is unknown, or a value has no equivalent.
    """
    return translated(task, parse(config), command)


def parse(config: Mapping[str, Any] | str | Path | Sequence[str | Path]) -> Configuration:
    """Return the sections of a configuration, files, or several files."""
    if isinstance(config, (str, Path)):
        config = documents.read(config)
    elif not isinstance(config, Mapping):
        config = documents.merged(documents.read(path) for path in config)
    return from_mapping(Configuration, config, "configuration")


def translated(task: str | None, config: Configuration, command: Command) -> dict[str, Any]:
    """Translate the sections that `parse` returned."""
    path, content = class_and_arguments(config.model, "model")
    kind = _kind(task, path)
    model = from_mapping(Task, content, "model")
    data_path, data_content = class_and_arguments(config.data, "data")
    data = from_mapping(Data, data_content, "data")
    task_words = f"the task is {kind}" + (f", by model.class_path '{path}'" if path else "")
    _check_data(data_path, data, kind, task_words)
    _check_parts(data, command)
    trainer = _trainer(config, data)
    dtype = DTYPES.get(str(trainer.get("precision") or 32))
    if dtype is not None:
        trainer.pop("precision", None)
    result = {
        "seed_everything": config.seed_everything,
        "model": {
            "class_path": _OURS[kind],
            "init_args": {
                "model": network(model.gnn, dtype or "float32"),
                **_loss(model, kind),
                "normalization": _normalization(_normalizers(model, kind)),
                **_optimization(config, model),
            },
        },
        "data": _data(data, kind),
        "trainer": trainer,
        "ema": None,
        "ckpt_path": config.ckpt_path or config.trainer.get("resume_from_checkpoint"),
        "overwrite": config.overwrite or None,
    }
    optional = ("seed_everything", "ckpt_path", "overwrite")
    return {key: value for key, value in result.items() if value is not None or key not in optional}


def tuning(config: Configuration) -> Tune:
    """Return what `tune` looks for; Lightning 1.6 has arguments of the trainer for that."""
    asked = {ours: config.trainer.get(theirs) for theirs, ours in _TUNING.items()}
    if not any(asked.values()):
        return config.tune
    values = vars(config.tune) | {name: bool(value) for name, value in asked.items()}
    if isinstance(asked.get("batch_size"), str):
        values["mode"] = asked["batch_size"]
    return from_mapping(Tune, values, "tune")


def tuned_keys(config: Configuration) -> dict[str, tuple[str, ...]]:
    """Return the keys, from the outermost, of what `tune` finds: batch_size and lr."""

    def key(section: str, name: str) -> tuple[str, ...]:
        content = getattr(config, section)
        plain = isinstance(content, Mapping) and "class_path" not in content
        return (section, name) if plain else (section, "init_args", name)

    owner = "model" if config.optimizer is None else "optimizer"
    return {"batch_size": key("data", "batch_size"), "lr": key(owner, "lr")}


# --- Task ----------------------------------------------------------------------------------------


def _kind(task: str | None, path: str | None) -> str:
    name = None if path is None else path.rpartition(".")[2]
    if name is not None and name not in TASKS:
        raise TorchMLError(f"model.class_path is '{path}', {_nearest(name, TASKS)}")
    kind = task if name is None else TASKS[name]
    if kind is None:
        raise TorchMLError(
            "the task is not given, expected s2ef or is2re before the command, or model.class_path"
        )
    if task not in (None, kind):
        raise TorchMLError(f"model.class_path is '{path}', but the task is {task}")
    return kind


def _loss(model: Task, kind: str) -> dict[str, Any]:
    """Translate the terms of the loss, which compares energies of whole configurations."""
    made: dict[str, Any] = {
        "energy_coefficient": model.energy_coefficient,
        "energy_loss": _loss_class(model.energy_loss, "energy_loss"),
        "energy_per_atom": False,
    }
    if kind == "is2re":
        if model.regress_forces:
            raise TorchMLError(
                "model.regress_forces is true, but IS2RE learns energies alone, expected false, or "
                "the task s2ef"
            )
        return made
    if model.regress_forces is False:
        return made | {"force_coefficient": 0.0}
    loss = _loss_class(model.force_loss, "force_loss")
    return made | {
        "force_coefficient": model.force_coefficient * _force_factor(model, loss["class_path"]),
        "force_loss": loss,
        "free_atoms_only": False,
    }


def _force_factor(model: Task, loss: str) -> float:
    """The factor of the force loss, whose unit is that of the energies: forces are derivatives."""
    values = model.normalize_kwargs or Normalizers()
    if values.grad_target_std == values.target_std:
        return 1.0
    if loss not in _POWERS:
        raise TorchMLError(
            f"model.normalize_kwargs.grad_target_std is {values.grad_target_std} and target_std "
            f"{values.target_std}, expected the same with {loss}, or one of {', '.join(_POWERS)}"
        )
    factor: float = (values.target_std / values.grad_target_std) ** _POWERS[loss]
    return factor


def _loss_class(value: Class | None, key: str) -> dict[str, Any]:
    path, arguments = class_and_arguments(value or "torch.nn.L1Loss", f"model.{key}")
    return _described(path, arguments, "torch.nn", f"model.{key}")


def _normalizers(model: Task, kind: str) -> Normalizers:
    values = model.normalize_kwargs or Normalizers()
    for key in ("target_std", "grad_target_std"):
        if not getattr(values, key) > 0:
            raise TorchMLError(
                f"model.normalize_kwargs.{key} is {getattr(values, key)}, expected a positive "
                "number"
            )
    learns_forces = kind == "s2ef" and model.regress_forces is not False
    if learns_forces and values.grad_target_mean != 0:
        raise TorchMLError(
            f"model.normalize_kwargs.grad_target_mean is {values.grad_target_mean}, expected 0: "
            "the forces on a structure add up to zero"
        )
    return values


def _normalization(values: Normalizers) -> dict[str, Any]:
    """Translate mean and standard deviation."""
    if values.target_mean != 0:
        notify(
            f"normalize_kwargs.target_mean is {values.target_mean:g} eV per structure, but an "
            "energy is the sum over its atoms: energies of the elements are fitted to the training "
            "data instead"
        )
    references = "none" if values.target_mean == 0 else "least_squares"
    return {"references": references, "scale": values.target_std}


def _optimization(config: Configuration, model: Task) -> dict[str, Any]:
    """Translate optimiser and scheduler, from sections of their own or from lr and gamma."""
    made: dict[str, Any] = {"schedule": "constant"}
    if config.optimizer is not None:
        path, arguments = class_and_arguments(config.optimizer, "optimizer")
        made["optimizer"] = _described(path, arguments, "torch.optim", "optimizer")
    elif model.lr is None:
        raise TorchMLError("model.lr is missing, expected a number, or a section optimizer")
    elif model.lr < 0:
        raise TorchMLError(f"model.lr is {model.lr:g}, expected 0 or more")
    else:
        made["optimizer"] = {"class_path": "torch.optim.Adam", "init_args": {"lr": model.lr}}
    if config.lr_scheduler is not None:
        path, arguments = class_and_arguments(config.lr_scheduler, "lr_scheduler")
        arguments = dict(arguments)
        if "monitor" in arguments:
            monitor = arguments.pop("monitor")
            made["monitor"] = METRICS.get(monitor, monitor)
        name = None if path is None else path.removeprefix("lightning.pytorch.cli.")
        module = "torch.optim.lr_scheduler"
        made["scheduler"] = _described(name, arguments, module, "lr_scheduler")
    elif config.optimizer is None and model.gamma is not None:
        if not model.gamma > 0:
            raise TorchMLError(f"model.gamma is {model.gamma:g}, expected a positive number")
        made["scheduler"] = {
            "class_path": "torch.optim.lr_scheduler.ExponentialLR",
            "init_args": {"gamma": model.gamma},
        }
    return made


def _described(path: str | None, arguments: Any, module: str, place: str) -> dict[str, Any]:
    """Return {class_path, init_args}; a class of `module` needs no path, others keep theirs."""
    if path is None:
        raise TorchMLError(f"{place} lacks class_path, expected a class of {module}")
    if "." not in path:
        there = import_module(module)
        if not isinstance(getattr(there, path, None), type):
            names = [name for name in vars(there) if isinstance(getattr(there, name), type)]
            raise TorchMLError(f"{place}.class_path is '{path}', {_nearest(path, names, module)}")
        path = f"{module}.{path}"
    home, _, name = path.rpartition(".")
    if home == module and home != "torch.nn" and isinstance(arguments, Mapping):
        kind = getattr(import_module(home), name, None)
        if isinstance(kind, type):
            check_arguments(kind, arguments, f"{place}.init_args")
    return {"class_path": path, **({"init_args": dict(arguments)} if arguments else {})}


# --- Data ----------------------------------------------------------------------------------------


def _check_data(path: str | None, data: Data, kind: str, task_words: str) -> None:
    name = "DGLDataModule" if path is None else path.rpartition(".")[2]
    if name not in DATA_MODULES:
        raise TorchMLError(f"data.class_path is '{path}', {_nearest(name, DATA_MODULES)}")
    if DATA_MODULES[name] not in (None, kind):
        raise TorchMLError(f"data.class_path is '{path}', but {task_words}")
    if data.dataset_class is not None:
        dataset = data.dataset_class.rpartition(".")[2]
        if dataset not in DATASETS:
            raise TorchMLError(
                f"data.dataset_class is '{data.dataset_class}', {_nearest(dataset, DATASETS)}"
            )
        if DATASETS[dataset] != kind:
            raise TorchMLError(f"data.dataset_class is '{data.dataset_class}', but {task_words}")
    if data.transforms:
        raise TorchMLError("data.transforms cannot be honoured, expected data as they are learned")
    sampled = [name for name in ("point_cloud_size", "sample_size") if getattr(data, name)]
    if sampled:
        notify(f"data: {' and '.join(sampled)} have no counterpart, all atoms are taken")


def _check_parts(data: Data, command: Command) -> None:
    part = {"validate": "val_path", "test": "test_path", "predict": "test_path"}.get(command)
    if part is not None and getattr(data, part) is None:
        raise TorchMLError(f"data.{part} is missing, expected the data to {command}")


def _data(data: Data, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "train": data.train_path,
        "val": data.val_path,
        "test": data.test_path,
        "batch_size": data.batch_size,
        "num_workers": data.num_workers,
        "duplicates": "allow",  # relaxations may return to a structure
    }
    if data.val_path is None:
        made["split"] = {"val": 0}  # no training data are taken for validation
    if kind == "is2re":
        made["keys"] = {"energy": "y_relaxed"}
    return {key: value for key, value in made.items() if value is not None}


# --- Trainer -------------------------------------------------------------------------------------


def _trainer(config: Configuration, data: Data) -> dict[str, Any]:
    """Return Lightning's arguments of today."""
    given = config.trainer
    for key, value in given.items():
        if key in _REMOVED and value not in (None, _REMOVED[key]):
            raise TorchMLError(
                f"trainer.{key} is {value!r}, but Lightning 2 has no such argument, expected it to "
                "be left out"
            )
        if key not in (*_TRAINER, *_RENAMED, *_REMOVED):
            raise TorchMLError(f"trainer.{key} is an unknown key; {_nearest(key, _TRAINER)}")
    made = {
        key: _today(value, f"trainer.{key}")
        for key, value in given.items()
        if key in _TRAINER and (value is not None or key == "check_val_every_n_epoch")
    }
    if "strategy" in given:
        made.setdefault("strategy", "auto")
    made.setdefault("gradient_clip_val", None)  # that of `torchml fit` is 10
    return made | _devices(given, data)


def _devices(given: Mapping[str, Any], data: Data) -> dict[str, Any]:
    """Translate the numbers of devices, which must agree."""
    counts = {f"trainer.{key}": given[key] for key in (*_DEVICES, "devices") if given.get(key)}
    if data.num_gpus:
        counts["data.num_gpus"] = data.num_gpus
    values = {str(value) for value in counts.values()}
    if len(values) > 1:
        listed = " and ".join(f"{key} is {value}" for key, value in counts.items())
        raise TorchMLError(f"{listed}, expected the same number of devices")
    if not counts and 0 in (given.get("gpus"), given.get("num_gpus")):
        return {"accelerator": given.get("accelerator", "cpu")}
    if not counts or "trainer.devices" in counts:
        return {}
    on_gpus = any("gpus" in key for key in counts)
    made = {"devices": next(iter(counts.values()))}
    return made | ({"accelerator": given.get("accelerator", "gpu")} if on_gpus else {})


def _today(value: Any, place: str) -> Any:
    """Replace names of Lightning 1 and of its metrics in callbacks, loggers and strategies."""
    if isinstance(value, list):
        return [_today(entry, f"{place}[{k}]") for k, entry in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    made = {}
    for key, entry in value.items():
        if key == "class_path" and isinstance(entry, str):
            if entry.split(".")[0] == "ocpmodels":
                raise TorchMLError(
                    f"{place} is '{entry}', which has no counterpart, expected a class of "
                    "lightning.pytorch or of your own"
                )
            entry = entry.replace("pytorch_lightning.", "lightning.pytorch.", 1)
        elif key == "monitor" and isinstance(entry, str):
            if entry not in METRICS and (
                close := difflib.get_close_matches(entry, METRICS, 1, 0.8)
            ):
                raise TorchMLError(
                    f"{place}.monitor is '{entry}', no metric; did you mean '{close[0]}'?"
                )
            entry = METRICS.get(entry, entry)
        made[key] = _today(entry, f"{place}.{key}")
    return made


def _nearest(name: str, known: Iterable[str], where: str = "") -> str:
    """Suggest the nearest of the known names; list them all if none is near."""
    names = list(known)
    if close := difflib.get_close_matches(str(name), names, n=1):
        return f"did you mean '{close[0]}'?"
    return f"expected a class of {where}" if where else f"expected one of {', '.join(names)}"
