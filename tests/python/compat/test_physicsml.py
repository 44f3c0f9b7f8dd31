"""physicsml's configurations: each field changes ours, or is refused by its name."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from helpers import silicon
from torchml import TorchMLError
from torchml.compat import physicsml
from torchml.compat.physicsml import EGNNModelConfig, translate
from torchml.data import write_extxyz
from torchml.training import fit


def config() -> dict[str, Any]:
    """Energies and forces, as in physicsml's tutorial."""
    return {
        "name": "egnn_model",
        "config": {
            "y_features": ["U", "F"],
            "num_node_feats": 1,
            "num_layers": 2,
            "c_hidden": 8,
            "num_rbf": 6,
            "compute_forces": True,
            "y_graph_scalars_loss_config": {"name": "MSELoss", "weight": 1.0},
            "y_node_vector_loss_config": {"name": "MSELoss", "weight": 0.5},
            "optimizer": {"name": "AdamW", "config": {"lr": 1e-3}},
            "scheduler": None,
            "datamodule": {
                "y_graph_scalars": ["U"],
                "y_node_vector": "F",
                "num_elements": 1,
                "cut_off": 4.0,
                "pre_batch": "in_memory",
                "train": {"batch_size": 2},
            },
            "trainer": {"max_epochs": 2, "accelerator": "cpu", "logger": False},
        },
    }


def having(key: str, value: Any) -> dict[str, Any]:
    content = config()
    *path, leaf = key.split(".")
    branch = content["config"]
    for name in path:
        branch[name] = branch.get(name) or {}
        branch = branch[name]
    branch[leaf] = value
    return content


def translated(content: dict[str, Any]) -> dict[str, Any]:
    return translate(content, train="train.xyz", species=["Si"])


REFUSED = "refused"
EGNN = "model.init_args.model.init_args"
TASK = "model.init_args"
COSINE = {"name": "CosineAnnealingLR"}
# For each field a value, and where it goes: (path in the configuration, value), or REFUSED.
CASES: list[tuple[str, Any, Any]] = [
    ("y_features", ["U", "F", "Q"], REFUSED),
    ("compute_forces", False, (f"{TASK}.targets", [
        {"name": "F", "kind": "node_vector", "coefficient": 0.5,
         "loss": {"class_path": "torch.nn.MSELoss"}},
    ])),
    ("num_node_feats", 3, REFUSED),
    ("num_edge_feats", 1, REFUSED),
    ("num_rbf", 0, REFUSED),
    ("num_rbf", 7, (f"{EGNN}.radial_functions", 7)),
    ("num_layers", 3, (f"{EGNN}.layers", 3)),
    ("num_layers_phi", 3, REFUSED),
    ("num_layers_pooling", 1, REFUSED),
    ("c_hidden", 16, (f"{EGNN}.features", 16)),
    ("modify_coords", False, REFUSED),
    ("jitter", 0.1, REFUSED),
    ("pool_type", "mean", REFUSED),
    ("pool_from", "edges", REFUSED),
    ("dropout", 0.1, REFUSED),
    ("mlp_activation", "ReLU", REFUSED),
    ("mlp_output_activation", "SiLU", REFUSED),
    ("output_activation", "SiLU", REFUSED),
    ("scaling_mean", 1.0, REFUSED),
    ("scaling_std", 2.0, (f"{TASK}.normalization.scale", 2.0)),
    ("y_graph_scalars_loss_config.weight", 3.0, (f"{TASK}.energy_coefficient", 3.0)),
    ("y_graph_scalars_loss_config.name", "WeightedMSELoss", (f"{TASK}.energy_per_atom", True)),
    ("y_graph_scalars_loss_config.name", "MaskedMSELoss", (f"{TASK}.missing", "mask")),
    ("y_graph_scalars_loss_config.name", "BarlowTwinsLoss", REFUSED),
    ("y_graph_scalars_loss_config", None, REFUSED),
    ("y_node_vector_loss_config.weight", 3.0, (f"{TASK}.force_coefficient", 3.0)),
    ("y_node_vector_loss_config.name", "HuberLoss",
     (f"{TASK}.force_loss.class_path", "torch.nn.HuberLoss")),
    ("y_node_vector_loss_config", {"name": "HuberLoss", "config": {"delta": 2.0}},
     (f"{TASK}.force_loss.init_args", {"delta": 2.0})),
    *[(f"y_{name}_loss_config", {"name": "MSELoss"}, REFUSED)
      for name in ("node_scalars", "edge_scalars", "edge_vector", "graph_vector")],
    ("transfer_learning", {"stages": []}, REFUSED),
    ("compile", True, REFUSED),
    ("float32_matmul_precision", "high", REFUSED),
    ("optimizer.name", "SGD", (f"{TASK}.optimizer.class_path", "torch.optim.SGD")),
    ("optimizer.name", "Sgd", REFUSED),
    ("optimizer.config", {"lr": 0.5}, (f"{TASK}.optimizer.init_args", {"lr": 0.5})),
    ("scheduler", COSINE, (f"{TASK}.schedule", "cosine")),
    ("scheduler", {"name": "OneCycleLR", "config": {"total_steps": "num_steps"}}, REFUSED),
    ("scheduler.config", {"T_max": "num_epochs"}, (f"{TASK}.scheduler.init_args", {"T_max": 2})),
    ("scheduler.config", {"T_max": 9}, (f"{TASK}.scheduler.init_args", {"T_max": 9})),
    ("scheduler", {"name": "StepLR", "config": {"step_size": 2}},
     (f"{TASK}.scheduler.class_path", "torch.optim.lr_scheduler.StepLR")),
    ("scheduler", {"config": {"T_max": 5}, "interval": "step"},
     (f"{TASK}.scheduler_interval", "step")),
    ("scheduler", {"name": "StepLR", "config": {"step_size": 1}, "interval": "epoch"},
     (f"{TASK}.scheduler_interval", "epoch")),
    ("scheduler.frequency", 2, REFUSED),
    ("scheduler", {"name": "ReduceLROnPlateau", "config": {}, "monitor": "val/total/loss"},
     (f"{TASK}.monitor", "val/loss")),
    ("datamodule.train.batch_size", 5, ("data.batch_size", 5)),
    ("datamodule.train.batch_size", {"a": 5}, REFUSED),
    ("datamodule.train.drop_last", True, REFUSED),
    ("datamodule.train_batch_size", 6, ("data.batch_size", 6)),
    ("datamodule.validation.batch_size", {"a": 5}, REFUSED),
    ("datamodule.num_workers", "all", ("data.num_workers", "all")),
    ("datamodule.num_elements", 2, REFUSED),
    ("datamodule.y_node_scalars", ["q"], REFUSED),
    ("datamodule.y_node_vector", None, REFUSED),
    ("datamodule.y_edge_scalars", ["q"], REFUSED),
    ("datamodule.y_edge_vector", "q", REFUSED),
    ("datamodule.y_graph_scalars", None, REFUSED),
    ("datamodule.y_graph_vector", "q", REFUSED),
    *[(f"datamodule.{name}", "other", REFUSED)
      for name in ("atomic_numbers_col", "coordinates_col", "node_attrs_col", "edge_attrs_col",
                   "node_idxs_col", "edge_idxs_col", "total_atomic_energy_col")],
    ("datamodule.graph_attrs_cols", ["x"], REFUSED),
    ("datamodule.cut_off", 6.0, (f"{EGNN}.cutoff", 6.0)),
    ("datamodule.pbc", [True, True, True], REFUSED),
    ("datamodule.cell", [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], REFUSED),
    ("datamodule.self_interaction", True, REFUSED),
    ("datamodule.use_scaled_positions", True, REFUSED),
    ("datamodule.max_nbins", 10, REFUSED),
    ("datamodule.pre_batch", "on_disk", ("data.pre_batch", "on_disk")),
    ("trainer.precision", 64, (f"{EGNN}.dtype", "float64")),
    ("trainer.precision", "16-mixed", REFUSED),
    ("trainer.callbacks",
     [{"name": "EarlyStopping", "config": {"monitor": "val/total/loss", "patience": 3}}],
     ("trainer.callbacks", [{"class_path": "lightning.pytorch.callbacks.EarlyStopping",
                             "init_args": {"monitor": "val/loss", "patience": 3}}])),
    ("trainer.callbacks", [{"name": "Nothing"}], REFUSED),
    ("trainer.logger", {"name": "CSVLogger", "config": {"save_dir": "x"}},
     ("trainer.logger", [{"class_path": "lightning.pytorch.loggers.CSVLogger",
                          "init_args": {"save_dir": "x"}}])),
    ("trainer.profiler", {"name": "SimpleProfiler"},
     ("trainer.profiler.class_path", "lightning.pytorch.profilers.SimpleProfiler")),
    ("trainer.strategy", "ddp", ("trainer.strategy", "ddp")),
    ("trainer.strategy", {"name": "DDPStrategy", "config": {"process_group_backend": "gloo"}},
     ("trainer.strategy.init_args", {"process_group_backend": "gloo"})),
    ("trainer.use_distributed_sampler", False, REFUSED),
    ("trainer.default_root_dir", "here", ("trainer.default_root_dir", "here")),
    *[(f"trainer.{name}", value, (f"trainer.{name}", value)) for name, value in {
        "accelerator": "gpu", "accumulate_grad_batches": 2, "barebones": True, "benchmark": True,
        "check_val_every_n_epoch": 2, "detect_anomaly": True, "deterministic": "warn",
        "devices": 2, "enable_checkpointing": False, "enable_model_summary": False,
        "enable_progress_bar": False, "fast_dev_run": 3, "gradient_clip_algorithm": "value",
        "gradient_clip_val": 0.5, "inference_mode": False, "limit_predict_batches": 2,
        "limit_test_batches": 0.5, "limit_train_batches": 2, "limit_val_batches": 2,
        "log_every_n_steps": 5, "max_epochs": 7, "max_steps": 9, "max_time": "00:01:00:00",
        "min_epochs": 1, "min_steps": 2, "num_nodes": 2, "num_sanity_val_steps": 1,
        "overfit_batches": 0.5, "reload_dataloaders_every_n_epochs": 1, "sync_batchnorm": True,
        "val_check_interval": 0.5}.items()],
]  # fmt: skip

# Names of columns that are checked elsewhere, or that say nothing here: modes of several data sets,
# sizes of batches that change no result, and what the featurisation called its columns.
ELSEWHERE = {
    *("scheduler.name", "scheduler.strict", "scheduler.monitor", "scheduler.interval"),
    "x_features",
    *("datamodule.train.mode", "datamodule.validation.mode", "datamodule.test.mode"),
    *("datamodule.test.batch_size", "datamodule.predict.batch_size"),
    *("datamodule.validation_batch_size", "datamodule.pre_batch_in_memory"),
    *(f"y_{name}_loss_config.{key}" for name in (
        "node_scalars", "edge_scalars", "graph_scalars", "node_vector", "edge_vector",
        "graph_vector") for key in ("name", "weight", "config")),
}  # fmt: skip


def at(configuration: dict[str, Any], path: str) -> Any:
    value: Any = configuration
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize(("key", "value", "expected"), CASES, ids=lambda one: str(one)[:40])
def test_a_field_is_honoured_or_refused(key: str, value: Any, expected: Any) -> None:
    content = having(key, value)
    if expected == REFUSED:
        with pytest.raises(TorchMLError) as caught:
            translated(content)
        assert key.removesuffix("_loss_config").rpartition(".")[2] in str(caught.value)
        return
    path, wanted = expected
    assert at(translated(content), path) == wanted
    assert at(translated(config()), path) != wanted


def leaves(cls: type, prefix: str = "") -> Iterator[str]:
    for field in fields(cls):  # type: ignore[arg-type]
        hint = typing.get_type_hints(cls)[field.name]
        inner = [one for one in (hint, *typing.get_args(hint)) if is_dataclass(one)]
        if inner:
            yield from leaves(inner[0], f"{prefix}{field.name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{field.name}"


def test_no_field_is_forgotten() -> None:
    tried = {key for key, _, _ in CASES}
    assert set(leaves(EGNNModelConfig)) - tried - ELSEWHERE == set()


@pytest.mark.parametrize("section", ["", "trainer", "datamodule", "datamodule.train", "optimizer"])
def test_unknown_fields_are_refused(section: str) -> None:
    with pytest.raises(TorchMLError, match=r"config\..*bacth_size is an unknown key"):
        translated(having(f"{section}.bacth_size" if section else "bacth_size", 1))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("datamodule.pre_batch", "disk", "'disk', expected 'in_memory' or 'on_disk' or null"),
        ("c_hidden", "many", "config.c_hidden is 'many', expected a whole number"),
        ("trainer.max_epochs", 1.5, "config.trainer.max_epochs is 1.5"),
        ("scheduler", {"interval": "hour"}, "config.scheduler.interval is 'hour'"),
    ],
)
def test_values_of_the_wrong_type_are_refused(key: str, value: Any, words: str) -> None:
    with pytest.raises(TorchMLError, match=words):
        translated(having(key, value))


def test_several_graph_scalars_are_the_energy_and_further_targets() -> None:
    content = config()
    content["config"]["y_features"] = None
    content["config"]["datamodule"]["y_graph_scalars"] = ["U", "gap"]
    made = translated(content)
    assert made["data"]["keys"] == {"energy": "U", "forces": "F", "targets": ["gap"]}
    (target,) = made["model"]["init_args"]["targets"]
    assert (target["name"], target["kind"], target["coefficient"]) == ("gap", "graph_scalar", 0.5)
    assert made["model"]["init_args"]["energy_coefficient"] == 0.5


def test_other_batch_sizes_are_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"validation.batch_size is 128: batches of 2"):
        translated(having("datamodule.validation.batch_size", 128))


def test_other_models_are_refused() -> None:
    with pytest.raises(TorchMLError, match="mace_model"):
        physicsml.from_dict({"name": "mace_model", "config": {}})
    with pytest.raises(TorchMLError, match="'name' and 'config'"):
        physicsml.from_dict(config()["config"])


def test_a_dataclass_and_a_dictionary_mean_the_same(scratch: Path) -> None:
    as_class = physicsml.from_dict(config())
    assert translate(as_class, "train.xyz", ["Si"]) == translated(config())
    assert isinstance(as_class, EGNNModelConfig)
    wrong = replace(as_class, c_hidden="many")  # type: ignore[arg-type]
    with pytest.raises(TorchMLError, match="c_hidden"):
        translate(wrong, "train.xyz", ["Si"])


def test_what_is_translated_trains(scratch: Path) -> None:
    write_extxyz(silicon.silicon(6), "train.xyz")
    content = copy.deepcopy(config())
    content["config"]["y_features"] = ["energy", "forces"]
    content["config"]["datamodule"] |= {"y_graph_scalars": ["energy"], "y_node_vector": "forces"}
    content["config"]["scheduler"] = COSINE
    run = fit(translate(content, "train.xyz", ["Si"], atomic_energies={"Si": -4.0}))
    assert run.folder == Path("training") and run.best.exists()
    assert run.metrics["train/loss"] < 1e6
    references = run.task.model.references  # type: ignore[union-attr]
    assert references.tolist() == [-4.0]
