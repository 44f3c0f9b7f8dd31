"""OCP's configurations: each key changes ours, or is refused by its name."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.ocp_configs import IS2RE_BASE, IS2RE_SCHNET, S2EF_2024, of_2021, of_2024
from torchml import TorchMLError
from torchml.compat.ocp import Translation, WarmupMilestones, networks, sections, translate
from torchml.compat.ocp import flags as command_line
from torchml.compat.ocp.configuration import grid
from torchml.compat.ocp.run import describe
from torchml.compat.ocp.versions import VERSIONS, choose, metric_values, monitor

REFUSED = "refused"
TASK = "model.init_args"
NET = f"{TASK}.model.init_args"
SCHEDULE = f"{TASK}.scheduler.init_args"
L1, MSE, L2 = "torch.nn.L1Loss", "torch.nn.MSELoss", "torchml.training.VectorNormLoss"


def at(configuration: Any, path: str) -> Any:
    value = configuration
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


# For each key of 2021 a value, and where it goes: (path in the configuration, value), or REFUSED.
CASES_2021: list[tuple[str, Any, Any]] = [
    ("dataset.train.src", "other", ("data.train", "other")),
    ("dataset.train.format", "dogss", REFUSED),
    ("dataset.train.normalize_labels", False, (f"{TASK}.normalization.scale", "none")),
    ("dataset.train.target_mean", -0.75, (f"{TASK}.normalization.references", "least_squares")),
    ("dataset.train.target_mean", None, REFUSED),
    ("dataset.train.target_std", 3.0, (f"{TASK}.normalization.scale", 3.0)),
    ("dataset.train.target_std", 0.0, REFUSED),
    ("dataset.train.grad_target_mean", 0.1, REFUSED),
    ("dataset.train.grad_target_std", 4.0, (f"{TASK}.force_coefficient", 15.0)),
    ("dataset.train.key_mapping", {"E": "energy"}, ("data.keys", {"energy": "E"})),
    ("dataset.train.key_mapping", {"E": "dipole"}, REFUSED),
    ("dataset.train.transforms", {"decompose_tensor": {}}, REFUSED),
    ("dataset.train.select_args", {"selection": "natoms>5"}, REFUSED),
    ("dataset.train.total_shards", 2, REFUSED),
    ("dataset.train.train_on_oc20_total_energies", True, REFUSED),
    ("dataset.train.oc20_ref", "ref.pkl", REFUSED),
    ("dataset.train.lin_ref", "ref.npz", REFUSED),
    ("dataset.val.src", "other", ("data.val", "other")),
    ("task.dataset", "qm9", REFUSED),
    ("task.train_on_free_atoms", True, (f"{TASK}.free_atoms_only", True)),
    ("task.eval_on_free_atoms", False, REFUSED),
    ("task.primary_metric", "forces_mae", ("checkpoint.monitor", "val/forces_mae")),
    ("task.primary_metric", "nothing", REFUSED),
    ("task.tag_specific_weights", [0.0, 1.0, 1.0], REFUSED),
    ("task.label_index", 3, REFUSED),
    ("task.set_deterministic_scatter", True, ("trainer.deterministic", True)),
    ("trainer", "dogss", REFUSED),
    ("optim.batch_size", 7, ("data.batch_size", 7)),
    ("optim.lr_initial", -0.1, REFUSED),
    ("optim.lr_initial", "1e-4", (f"{TASK}.optimizer.init_args.lr", 1e-4)),
    ("optim.max_epochs", 0, REFUSED),
    ("optim.eval_batch_size", 0, REFUSED),
    ("optim.max_epochs", 9, ("trainer.max_epochs", 9)),
    ("optim.lr_gamma", 0.5, (f"{SCHEDULE}.gamma", 0.5)),
    ("optim.lr_gamma", None, REFUSED),
    ("optim.lr_milestones", [2], (f"{SCHEDULE}.milestones", [2])),
    ("optim.warmup_epochs", 1, (f"{SCHEDULE}.warmup", 1)),
    ("optim.warmup_epochs", -1, (f"{SCHEDULE}.factor", 1.0)),
    ("optim.warmup_steps", 10, REFUSED),
    ("optim.warmup_factor", 0.5, (f"{SCHEDULE}.factor", 0.5)),
    ("optim.update_lr_on_step", True, (f"{TASK}.scheduler_interval", "step")),
    ("optim.energy_coefficient", 5.0, (f"{TASK}.energy_coefficient", 5.0)),
    ("optim.energy_coefficient", -1.0, REFUSED),
    ("optim.force_coefficient", 100, (f"{TASK}.force_coefficient", 100.0)),
    ("optim.loss_energy", "mse", (f"{TASK}.energy_loss.class_path", MSE)),
    ("optim.loss_energy", "huge", REFUSED),
    ("optim.loss_force", "l2mae", (f"{TASK}.force_loss.class_path", L2)),
    ("optim.loss_forces", "mse", (f"{TASK}.force_loss.class_path", MSE)),
    ("optim.eval_every", -10000, ("trainer.val_check_interval", 10000)),
    ("optim.eval_every", 0, REFUSED),
    ("optim.checkpoint_every", 50, ("checkpoint.last_every_n_steps", 50)),
    ("optim.clip_grad_norm", 10, ("trainer.gradient_clip_val", 10.0)),
    ("optim.ema_decay", 0.99, ("ema", {"decay": 0.99, "warm_up": False})),
    ("optim.optimizer", "Adam", (f"{TASK}.optimizer.class_path", "torch.optim.Adam")),
    ("optim.optimizer", "Magic", REFUSED),
    ("optim.optimizer_params", {"amsgrad": True}, (f"{TASK}.optimizer.init_args.amsgrad", True)),
    ("optim.optimizer_params", {"amsgrd": True}, REFUSED),
    ("optim.weight_decay", 0.1, (f"{TASK}.optimizer.init_args.weight_decay", 0.1)),
    ("optim.scheduler", "Null", (f"{TASK}.scheduler", None)),
    ("optim.scheduler", "Magic", REFUSED),
    ("optim.num_workers", 0, ("data.num_workers", 0)),
    ("model.cutoff", 5.0, (f"{NET}.cutoff", 5.0)),
    ("model.hidden_channels", 16, (f"{NET}.features", 16)),
    ("model.num_filters", 16, (f"{NET}.filters", 16)),
    ("model.num_interactions", 2, (f"{NET}.layers", 2)),
    ("model.num_gaussians", 9, (f"{NET}.gaussians", 9)),
    ("model.readout", "mean", REFUSED),
    ("model.use_pbc", False, REFUSED),
    ("model.regress_forces", False, (f"{TASK}.force_coefficient", 0.0)),
    ("model.name", "gemnet_oc", REFUSED),
    ("model.name", "nothing", REFUSED),
]  # fmt: skip

# Keys that name what the files hold or how a program of OCP works, and change no result here; and
# those that other tests set: relaxations, predictions, keys of 2024.
ELSEWHERE = {
    *("logger", "slurm", "hide_eval_progressbar", "loss_functions"),
    *(f"dataset.train.{key}" for key in (
        "use_train_settings", "metadata_path", "keep_in_memory", "a2g_args", "shard")),
    *(f"task.{key}" for key in (
        "description", "type", "metric", "labels", "grad_input", "strict_load", "prediction_dtype",
        "relaxation_steps", "relaxation_fmax", "num_relaxation_batches", "write_pos",
        "eval_relaxations", "save_full_traj")),
    *(f"task.relax_opt.{key}" for key in (
        "memory", "name", "maxstep", "damping", "alpha", "traj_dir")),
    *("optim.load_balancing", "optim.scheduler_arguments", "optim.of_other_schedulers"),
    "optim.num_gpus",
    *("model.otf_graph", "model.max_neighbors"),
    *(f"outputs.{key}" for key in (
        "level", "shape", "irrep_dim", "train_on_free_atoms", "eval_on_free_atoms",
        "prediction_dtype", "decomposition")),
    *("evaluation_metrics.metrics", "evaluation_metrics.primary_metric"),
    *("dataset.test", "dataset.relax", "task.relax_dataset"),
}  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), CASES_2021, ids=lambda one: str(one)[:40])
def test_a_key_is_honoured_or_refused(key: str, value: Any, expected: Any) -> None:
    section, _, leaf = key.partition(".")
    content = of_2021(**{section: {leaf: value}}) if leaf else of_2021() | {section: value}
    if expected == REFUSED:
        with pytest.raises(TorchMLError) as caught:
            translate(content, version="2021")
        last = key.rpartition(".")[2]
        hints = (last, *last.split("_"), "energy", "mean", "deviations")
        assert any(hint in str(caught.value) for hint in hints)
        return
    path, wanted = expected
    assert at(translate(content, version="2021").configuration, path) == wanted
    if not (leaf in ("num_workers",) or wanted is None):
        assert at(translate(of_2021(), version="2021").configuration, path) != wanted


def leaves(cls: type, prefix: str = "") -> Iterator[str]:
    for field in fields(cls):  # type: ignore[arg-type]
        hint = typing.get_type_hints(cls)[field.name]
        inner = [one for one in (hint, *typing.get_args(hint)) if is_dataclass(one)]
        repeated = prefix == "dataset." and field.name in ("val", "test", "relax")
        if inner and not repeated and field.name != "relax_dataset":
            yield from leaves(inner[0], f"{prefix}{field.name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{field.name}"


def test_no_key_is_forgotten() -> None:
    tried = {key for key, _, _ in CASES_2021}
    names = set(leaves(sections.Config)) - {"model"}
    names |= {f"model.{name}" for name in leaves(networks.SchNet)}
    assert names - tried - ELSEWHERE == {"dataset.val"}


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("optim", "lr_intial", "did you mean 'lr_initial'"),
        ("task", "relaxation_step", "did you mean 'relaxation_steps'"),
        ("model", "num_filter", "did you mean 'num_filters'"),
        ("dataset", "trian", "did you mean 'train'"),
    ],
)
def test_unknown_keys_are_refused(section: str, key: str, hint: str) -> None:
    with pytest.raises(TorchMLError, match=rf"{section}\.{key} is an unknown key; {hint}"):
        translate(of_2021(**{section: {key: 1}}))


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(TorchMLError, match="optin is an unknown key"):
        translate(of_2021() | {"optin": {}})


@pytest.mark.parametrize("section", ["model", "optim"])
def test_a_missing_section_is_named(section: str) -> None:
    content = of_2021()
    del content[section]
    with pytest.raises(TorchMLError, match=f"lacks {section}"):
        translate(content)


# --- Versions ------------------------------------------------------------------------------------


def force_terms(translation: Translation) -> tuple[str, float]:
    task = translation.configuration["model"]["init_args"]
    return task["force_loss"]["class_path"], task["force_coefficient"]


def test_the_version_is_seen_from_the_keys() -> None:
    assert translate(of_2021()).version.name == "2021"
    assert translate(of_2024()).version.name == "2024"
    assert choose(None, [{"dataset": [{"src": "a"}]}])[0].name == "2021"
    assert choose(None, [{}, {"dataset": {"train": {}}}])[0].name == "2024"
    made = translate(of_2021())
    assert made.notes[0] == "version of OCP: 2021 (the configuration has optim.warmup_epochs)"
    with pytest.raises(TorchMLError, match="version_of_ocp is '1999', expected 2021 or 2024"):
        choose("1999", [])


def test_losses_of_forces_differ_between_the_versions() -> None:
    """2021: mean over components; 2024: the length of the difference, or a sum over components."""
    assert force_terms(translate(of_2021())) == (L1, 30.0)
    old = of_2021()
    del old["optim"]["warmup_epochs"]
    old["optim"] |= {"warmup_steps": 300, "lr_milestones": [500]}
    assert force_terms(translate(old)) == (L2, 30.0)
    old["optim"]["loss_forces"] = "mae"
    summed = translate(old)
    assert force_terms(summed) == (L1, 90.0)
    assert any("three times 30" in note for note in summed.notes)
    new = of_2024()
    assert force_terms(translate(new)) == (L2, 100.0)
    new["loss_functions"][1]["forces"] = {"fn": "mae", "coefficient": 10, "reduction": "mean_all"}
    assert force_terms(translate(new)) == (L1, 10.0)
    new["loss_functions"][1]["forces"]["reduction"] = "sum"
    with pytest.raises(TorchMLError, match="reduction 'sum'"):
        translate(new)


def test_the_loss_equals_the_formula_of_ocp_of_2024() -> None:
    """mae with reduction mean: the sum over components of |dF| / std, divided by the atoms."""
    new = of_2024()
    new["loss_functions"][1]["forces"] = {"fn": "mae", "coefficient": 10}
    new["dataset"]["train"] |= {"grad_target_std": 5.0, "target_std": 2.0}
    path, coefficient = force_terms(translate(new))
    assert path == L1
    torch.manual_seed(0)
    predicted, label = torch.randn(2, 7, 3)
    ocp = 10 * ((predicted - label) / 5.0).abs().sum() / 7
    ours = coefficient * torch.nn.L1Loss()(predicted / 2.0, label / 2.0)  # in units of the scale
    torch.testing.assert_close(ours, ocp)


def test_schedules_count_epochs_in_2021_and_steps_in_2024() -> None:
    task = translate(of_2021()).configuration["model"]["init_args"]
    assert task["scheduler_interval"] == "epoch" and task["schedule"] == "constant"
    task = translate(of_2024()).configuration["model"]["init_args"]
    assert task["scheduler_interval"] == "step"
    assert task["scheduler"]["init_args"]["warmup"] == 300
    with pytest.raises(TorchMLError, match="refuses numbers below 100"):
        translate(of_2024(optim={"lr_milestones": [5, 500]}))
    with pytest.raises(TorchMLError, match="warmup_epochs is not read by OCP of 2024"):
        translate(of_2021(), version="2024")


def test_the_learning_rate_follows_the_formula_of_ocp() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = WarmupMilestones(optimizer, warmup=3, factor=0.2, milestones=[5, 8], gamma=0.1)
    for epoch in range(12):
        if epoch <= 3:
            wanted = 0.5 * (0.2 + 0.8 * epoch / 3)
        else:
            wanted = 0.5 * 0.1 ** sum(milestone <= epoch for milestone in (5, 8))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted)
        optimizer.step()
        scheduler.step()
    state = scheduler.state_dict()
    assert all(isinstance(v, int | float | bool | list | type(None)) for v in state.values())
    with pytest.raises(TorchMLError, match="increasing"):
        WarmupMilestones(optimizer, 1, 0.2, [8, 5], 0.1)


def test_schedulers_of_torch_take_their_arguments_from_optim() -> None:
    new = of_2024(optim={"scheduler": "ReduceLROnPlateau", "mode": "min", "factor": 0.8})
    task = translate(new).configuration["model"]["init_args"]
    assert task["scheduler"] == {
        "class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "init_args": {"mode": "min", "factor": 0.8},
    }
    assert task["monitor"] == "val/forces_mae"
    mixed = of_2024(optim={"scheduler": "CosineAnnealingLR", "T_max": 9, "mode": "min"})
    made = translate(mixed)
    assert made.configuration["model"]["init_args"]["scheduler"]["init_args"] == {"T_max": 9}
    assert any("optim.mode: no argument of CosineAnnealingLR" in note for note in made.notes)
    with pytest.raises(TorchMLError, match="optim lacks T_max, which CosineAnnealingLR needs"):
        translate(of_2024(optim={"scheduler": "CosineAnnealingLR"}))


def test_without_warm_up_no_factor_is_needed() -> None:
    """Files of OCP have a negative number of steps, and no factor."""
    content = of_2024(optim={"warmup_steps": -1, "warmup_factor": None})
    arguments = translate(content).configuration["model"]["init_args"]["scheduler"]["init_args"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    assert WarmupMilestones(optimizer, **arguments).get_last_lr() == [0.5]


def test_files_of_2020_name_the_number_of_gpus_in_optim() -> None:
    notes = translate(of_2021(optim={"num_gpus": 8})).notes
    assert any("--distributed --num-gpus 8 starts several" in note for note in notes)
    assert not any("num_gpus" in note for note in translate(of_2021(optim={"num_gpus": 1})).notes)


def test_checkpoints_follow_the_primary_metric() -> None:
    assert translate(of_2021()).configuration["checkpoint"] == {
        "monitor": "val/efwt",
        "mode": "max",
    }
    new = translate(of_2024(optim={"eval_every": 50})).configuration
    assert new["checkpoint"] == {
        "monitor": "val/forces_mae",
        "mode": "min",
        "last_every_n_steps": 50,
    }
    assert new["trainer"]["val_check_interval"] == 50
    alone = of_2021()
    del alone["dataset"]["val"]
    alone = translate(alone).configuration
    assert alone["checkpoint"] == {"monitor": "val/loss", "mode": "min"}
    assert alone["data"]["split"] == {"val": 0}


@pytest.mark.parametrize("version", VERSIONS)
def test_metrics_have_the_names_of_ocp(version: str) -> None:
    metrics = {
        "val/energy_mae": 1.0,
        "val/energy_rmse": 3.0,
        "val/ewt": 0.5,
        "val/forces_cosine": 0.25,
        "val/efwt": 0.125,
        "val/loss": 2.0,
    }
    energies = metric_values(VERSIONS[version], "is2re", metrics)
    assert energies == {
        "energy_mae": 1.0,
        "energy_mse": 9.0,
        "energy_within_threshold": 0.5,
        "loss": 2.0,
    }
    forces = metric_values(VERSIONS[version], "s2ef", metrics)
    names = {
        "2021": ("forces_cos", "energy_force_within_threshold"),
        "2024": ("forces_cosine_similarity", "energy_forces_within_threshold"),
    }
    assert [forces[name] for name in names[version]] == [0.25, 0.125]
    for name in forces:
        ours, mode = monitor(VERSIONS[version], "s2ef", name)
        assert mode == ("max" if ours in ("val/efwt", "val/forces_cosine") else "min")


# --- Kinds, models -------------------------------------------------------------------------------


def test_relaxed_energies_are_learned_by_the_trainer_energy() -> None:
    old = of_2021(task={"dataset": "single_point_lmdb"}) | {"trainer": "energy"}
    made = translate(old)
    assert made.kind == "is2re"
    assert made.configuration["model"]["class_path"] == "torchml.training.IS2RE"
    assert made.configuration["data"]["keys"] == {"energy": "y_relaxed"}
    assert made.configuration["checkpoint"]["monitor"] == "val/energy_mae"
    assert "force_loss" not in made.configuration["model"]["init_args"]
    new = of_2024(evaluation_metrics={"primary_metric": "energy_mae"})
    new["loss_functions"] = [{"energy": {"fn": "mae"}}]
    new["dataset"]["train"]["key_mapping"] = {"y_relaxed": "energy"}
    assert translate(new).kind == "is2re"
    assert translate(new).results_name == "ocp"
    assert translate(of_2021()).results_name == "s2ef"


@pytest.mark.parametrize(
    ("section", "class_path", "arguments"),
    [
        (
            {"name": "dimenetplusplus", "hidden_channels": 16, "num_blocks": 3, "num_radial": 5},
            "torchml.models.DimeNetPP",
            {"features": 16, "layers": 4, "radial_functions": 5, "spherical_functions": 5},
        ),
        (
            {"name": "dimenet", "hidden_channels": 16, "num_blocks": 2, "max_angles_per_image": 9},
            "torchml.models.DimeNetPP",
            {"features": 16, "layers": 3, "basis_features": 8},
        ),
        (
            {"name": "painn", "direct_forces": False, "num_rbf": 11, "hidden_channels": 16},
            "torchml.models.PaiNN",
            {"features": 16, "layers": 6, "radial_functions": 11},
        ),
    ],
)
def test_other_models(section: dict[str, Any], class_path: str, arguments: dict[str, Any]) -> None:
    network = translate(of_2021() | {"model": section}).configuration["model"]["init_args"]["model"]
    assert network["class_path"] == class_path
    assert arguments.items() <= network["init_args"].items()
    name = class_path.rpartition(".")[2]
    model = getattr(__import__("torchml.models", fromlist=[name]), name)
    model(**network["init_args"] | {"species": ["Cu"]})  # the arguments are those of the class


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"name": "painn"}, "direct_forces true"),
        ({"name": "dimenetplusplus", "num_before_skip": 2}, "num_before_skip is 2, expected 1"),
        ({"name": "cgcnn"}, "model.name 'cgcnn' has no counterpart here, expected schnet"),
    ],
)
def test_models_without_counterpart(section: dict[str, Any], words: str) -> None:
    with pytest.raises(TorchMLError, match=words):
        translate(of_2021() | {"model": section})


# --- Files and command lines ---------------------------------------------------------------------


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)


def parsed(*words: str) -> command_line.Flags:
    return command_line.parse(["--mode", "train", "--config-yml", "main.yml", *words])


def translated(*words: str) -> Translation:
    flags = parsed(*words)
    return translate(flags.config_yml, flags=flags)


def test_included_files_are_joined(scratch: Path) -> None:
    base = IS2RE_BASE.format(train="train.lmdb", val="val.lmdb", mean=-1.5, std=2.0)
    write(scratch, base=base, main=IS2RE_SCHNET)
    made = translated()
    assert made.kind == "is2re" and made.configuration["data"]["val"] == "val.lmdb"
    write(scratch, main=IS2RE_SCHNET + "trainer: forces\n")
    assert translated().kind == "is2re"  # in 2021 the included file wins
    with pytest.raises(TorchMLError, match="warmup_epochs"):
        translated("--version-of-ocp", "2024")
    write(scratch, base="includes: [main.yml]\n")
    with pytest.raises(TorchMLError, match="includes itself"):
        translated()


def test_the_main_file_wins_in_2024(scratch: Path) -> None:
    text = S2EF_2024.format(train="train.lmdb", val="val.lmdb", mean=0.0, std=2.0)
    write(scratch, base=text, main="includes: [base.yml]\noptim:\n  max_epochs: 7\n")
    assert translated().configuration["trainer"]["max_epochs"] == 7
    write(scratch, other="optim:\n  max_epochs: 8\n", main="includes: [base.yml, other.yml]\n")
    with pytest.raises(TorchMLError, match=r"both have optim\.max_epochs"):
        translated()


def test_values_of_the_command_line_replace_others(scratch: Path) -> None:
    write(scratch, main=yaml.safe_dump(of_2021()))
    made = translated("--optim.lr_initial=3e-4", "--dataset.train.src=new", "--max_epochs=5")
    configuration = made.configuration
    assert at(configuration, f"{TASK}.optimizer.init_args.lr") == 3e-4
    assert configuration["data"]["train"] == "new"
    assert configuration["trainer"]["max_epochs"] == 5
    made = translated("--config-override", "{optim: {max_epochs: 3}, model: {cutoff: 4.5}}")
    assert made.configuration["trainer"]["max_epochs"] == 3
    assert at(made.configuration, f"{NET}.cutoff") == 4.5
    listed = of_2021()
    listed["dataset"] = list(listed["dataset"].values())
    write(scratch, main=yaml.safe_dump(listed))
    assert translated("--dataset.0.src=new").configuration["data"]["train"] == "new"
    assert translated("--dataset.val.src=new").configuration["data"]["val"] == "new"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("--identifer", "--identifer is an unknown word; did you mean --identifier"),
        ("--lr_intial=1", "--lr_intial names no key"),
        ("--optim.lr_intial=1", r"optim\.lr_intial is an unknown key"),
        ("--gp-gpus=2", "--gp-gpus splits"),
        ("--seed=-1", "--seed is -1, expected a number from 0"),
        ("--num-gpus=2", "without --distributed"),
        ("--config-override=[", "--config-override"),
    ],
)
def test_wrong_words_are_refused(scratch: Path, word: str, words: str) -> None:
    write(scratch, main=yaml.safe_dump(of_2021()))
    with pytest.raises(TorchMLError, match=words):
        translated(word)


def test_missing_and_damaged_files_are_named(scratch: Path) -> None:
    with pytest.raises(TorchMLError, match=r"main\.yml: no such file"):
        translated()
    write(scratch, main="includes: [absent.yml]\n")
    with pytest.raises(TorchMLError, match=r"absent\.yml: no such file"):
        translated()
    write(scratch, main="optim: {batch_size: 1, batch_size: 2}\n")
    with pytest.raises(TorchMLError, match="'batch_size' is there twice"):
        translated()
    write(scratch, main="[1, 2]\n")
    with pytest.raises(TorchMLError, match="expected keys with values"):
        translated()


def test_flags_reach_the_configuration(scratch: Path) -> None:
    write(scratch, main=yaml.safe_dump(of_2021()))
    words = ("--seed", "3", "--cpu", "--amp", "--print-every", "7", "--num-workers", "0")
    made = translated(*words)
    assert made.configuration["seed_everything"] == made.configuration["data"]["seed"] == 3
    assert made.configuration["trainer"]["accelerator"] == "cpu"
    assert made.configuration["trainer"]["log_every_n_steps"] == 7
    assert any("half precision" in note for note in made.notes)
    ranks = translated("--cpu", "--distributed", "--num-gpus", "2").configuration["trainer"]
    assert ranks["devices"] == 2
    assert ranks["strategy"]["init_args"] == {"process_group_backend": "gloo"}
    assert parsed("--mode", "run_relaxations").mode == "run-relaxations"


def test_predictions_and_relaxations_show_no_configuration_of_a_training(scratch: Path) -> None:
    write(scratch, main=yaml.safe_dump(of_2021(task={"relax_opt": {"memory": 5}})))

    def shown(*words: str) -> str:
        flags = parsed(*words)
        return describe(flags, translate(flags.config_yml, flags=flags))

    configuration = yaml.safe_load(shown())
    assert {"model", "data", "trainer"} <= configuration.keys()
    for mode, command in (("predict", "predict"), ("run-relaxations", "relax")):
        text = shown("--mode", mode)
        assert text.startswith(f"# in TorchML: torchml {command} CHECKPOINT")
        assert yaml.safe_load(text) is None, "comments alone"
        assert yaml.safe_load(shown("--mode", mode, "--print-config")) == configuration


def test_relaxations_may_stand_at_the_top_level(scratch: Path) -> None:
    """The documentation shows them there, the code reads them in task."""
    top = of_2021() | {"relaxation_steps": 5, "relax_dataset": {"src": "a.lmdb"}}
    made = translate(top)
    assert made.config.task.relaxation_steps == 5 and made.relax == "a.lmdb"
    with pytest.raises(TorchMLError, match="both given"):
        translate(of_2021(task={"relaxation_steps": 4}) | {"relaxation_steps": 5})


def test_a_sweep_has_one_run_for_each_combination(scratch: Path) -> None:
    write(scratch, main=yaml.safe_dump(of_2021()))
    write(scratch, sweep="optim:\n  lr_initial: [0.1, 0.01]\nmodel:\n  cutoff: [4.0, 5.0]\n")
    runs = grid(parsed("--sweep-yml", "sweep.yml", "--identifier", "x"))
    assert [flags.identifier for flags in runs] == [f"x_run{k}" for k in range(4)]
    found = [translate(flags.config_yml, flags=flags).configuration for flags in runs]
    pairs = [(at(c, f"{TASK}.optimizer.init_args.lr"), at(c, f"{NET}.cutoff")) for c in found]
    assert pairs == [(0.1, 4.0), (0.1, 5.0), (0.01, 4.0), (0.01, 5.0)]
    again = command_line.parse(runs[3].words)
    assert again.identifier == "x_run3" and again.overrides == runs[3].overrides
    write(scratch, sweep="optim:\n  lr_initial: 0.1\n")
    with pytest.raises(TorchMLError, match="expected a list of values"):
        grid(parsed("--sweep-yml", "sweep.yml"))
