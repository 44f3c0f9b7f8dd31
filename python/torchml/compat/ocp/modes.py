"""What the modes of OCP do: training, metrics, predictions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from torchml.compat.ocp import versions
from torchml.compat.ocp.flags import Flags
from torchml.compat.ocp.folders import PREDICTIONS, Folders
from torchml.compat.ocp.ids import Numbered
from torchml.compat.ocp.relaxations import relax
from torchml.compat.ocp.trained import model_of, use_network
from torchml.compat.ocp.translation import Translation
from torchml.data import read
from torchml.data.keys import Keys
from torchml.data.ranks import launched_rank
from torchml.errors import TorchMLError
from torchml.evaluation.predicted_files import write_json
from torchml.evaluation.prediction_run import predict_to_file


def train(flags: Flags, translation: Translation) -> None:
    """Train; then predict the test data and relax, where the configuration asks for it."""
    from torchml.training import fit

    folders, resume = translation.folders, {}
    if flags.checkpoint is not None:
        resume["ckpt_path"] = use_network(flags.checkpoint, translation, "train")
    configuration = translation.configuration
    if flags.debug:
        configuration["trainer"]["enable_checkpointing"] = False
        fit(configuration, plots=False, **resume)
        return
    try:
        if is_first():
            folders.link(latest=translation.version.name != "2021")
        finished = fit(configuration, **resume)
    finally:
        if is_first():
            folders.unlink()
    if is_first():
        folders.complete()
        say(f"{folders.checkpoints / 'checkpoint.pt'}: checkpoint of TorchML, under OCP's name")
    best = finished.best if finished.best.exists() else finished.last
    if translation.test is not None:
        _predict(str(best), flags, translation)
    if translation.config.task.eval_relaxations and translation.relax is not None:
        relax(str(best), device(flags), translation)


def validate(flags: Flags, translation: Translation) -> None:
    """Print the metrics of the validation data under OCP's names."""
    from torchml.training import validate as evaluated

    if translation.val is None:
        raise TorchMLError("--mode validate needs validation data, expected dataset.val.src")
    path = use_network(flags.checkpoint, translation, "validate")
    configuration = copy.deepcopy(translation.configuration)
    configuration["trainer"] |= {
        "logger": False,
        "default_root_dir": str(translation.folders.results),
    }
    run = evaluated(configuration, ckpt_path=path, plots=not flags.debug)
    report(versions.metric_values(translation.version, translation.kind, run.metrics))


def predict(flags: Flags, translation: Translation) -> None:
    """Write the predictions for the test data."""
    if flags.debug:
        raise TorchMLError("--debug leaves no files, expected --mode predict without it")
    if translation.test is None:
        raise TorchMLError("--mode predict needs test data, expected dataset.test.src")
    _predict(model_of(flags.checkpoint, translation, "predict"), flags, translation)
    if is_first() and translation.version.name == "2021":
        _link_predictions(translation.folders)


def run_relaxations(flags: Flags, translation: Translation) -> None:
    """Relax the structures of the relaxation data."""
    if flags.debug:
        raise TorchMLError("--debug leaves no files, expected --mode run-relaxations without it")
    if translation.kind != "s2ef":
        raise TorchMLError(
            "--mode run-relaxations needs forces, expected trainer forces, or loss_functions with "
            "forces"
        )
    if translation.relax is None:
        raise TorchMLError(
            "--mode run-relaxations needs structures, expected task.relax_dataset.src or "
            "dataset.relax.src"
        )
    relax(model_of(flags.checkpoint, translation, flags.mode), device(flags), translation)


MODES = {
    "train": train,
    "validate": validate,
    "predict": predict,
    "run-relaxations": run_relaxations,
}


def is_first() -> bool:
    """Whether this process is the only one, or rank 0."""
    return launched_rank().rank == 0


def say(text: str) -> None:
    """Print on rank 0."""
    if is_first():
        print(text, flush=True)


def report(values: Mapping[str, float]) -> None:
    """Print metrics in the form of OCP."""
    say(", ".join(f"{name}: {value:.4f}" for name, value in values.items()))


def device(flags: Flags) -> str:
    """The device of predictions and relaxations on this rank."""
    if flags.cpu or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{launched_rank().rank % torch.cuda.device_count()}"


def _predict(model: str, flags: Flags, translation: Translation) -> None:
    results = translation.folders.results
    name = translation.results_name
    version: Any = int(translation.version.name)
    task: Any = translation.kind
    path = results / f"{name}_predictions.npz"
    keys = Keys(energy=None, forces=None, stress=None)
    results.mkdir(parents=True, exist_ok=True)
    predictions = predict_to_file(
        model,
        _structures(translation.test, keys),
        path,
        leaderboard=version,
        task=task,
        dtype=translation.prediction_dtype,  # type: ignore[arg-type]
        device=device(flags),
        ranks=launched_rank(),
        keys=keys,
    )
    if predictions is not None:
        write_json(predictions, results / PREDICTIONS, translation.kind)
        say(f"{path}, {results / PREDICTIONS}: {len(predictions)} structures")


def _structures(source: Any, keys: Keys) -> Any:
    """The files of the structures to predict, or what is in them, with numbers as ids."""
    structures = read(source, keys)
    if not len(structures) or structures[0].sid is not None:
        return source
    say(f"{structures[0].name} has no sid: numbers, from 0, are the ids of the structures")
    return Numbered(structures)


def _link_predictions(folders: Folders) -> None:
    path = folders.run_dir / PREDICTIONS
    if folders.link_predictions():
        say(f"{path}: link to the last predictions, as OCP of 2020 names them")
    else:
        say(f"{path} is there and stays: the predictions are in {folders.results / PREDICTIONS}")
