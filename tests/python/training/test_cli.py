"""`torchml fit`, `validate`, `test` and `predict`: what a user types, and what is left on disk."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.io import read, write
from lightning.pytorch.callbacks import Callback

from helpers.argon import labelled_structures, write_config
from torchml import cli as commands
from torchml.errors import TorchMLError
from torchml.training import api
from torchml.training.callbacks.checkpoint_files import AtomicCheckpointIO
from torchml.training.outputs.plots import read_curves


@pytest.fixture
def run(trained: Path) -> api.Run:
    """What that configuration has left, in the folder `run`."""
    shutil.copytree(trained, "run")
    return api.Run(Path("run"), {}, None, None, None)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that tests copy."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        api.fit(write_config(data, folder))
    return folder / "run"


def torchml(*words: object) -> int:
    """The command as it is typed, in this process."""
    return commands.main([str(word) for word in words])


def weights(path: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return {name: value for name, value in content[key].items()}


def assert_equal_weights(a: Path, b: Path) -> None:
    for key in ("state_dict", "current_model_state"):
        first, second = weights(a, key), weights(b, key)
        assert first.keys() == second.keys()
        for name in first:
            assert torch.equal(first[name], second[name]), name


# --- One configuration -------------------------------------------------------------------------


def test_fit_leaves_a_run_folder(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert torchml("fit", "--config", config, "--plots", "true") == 0
    found = {str(path) for path in Path("run").rglob("*") if path.is_file()}
    assert {
        "run/config.yaml",
        "run/checkpoints/best.ckpt",
        "run/checkpoints/last.ckpt",
        "run/logs/csv/version_0/metrics.csv",
        "run/plots/parity_val.png",
        "run/plots/learning_curves.png",
    } <= found
    assert any("tfevents" in path for path in found)
    assert not any(".new" in path for path in found)
    output = capsys.readouterr().out
    assert "epoch 2/2" in output and "meV/atom" in output and "torchml_export" in output
    curves = read_curves([Path("run/logs/csv/version_0/metrics.csv")])
    assert curves["val/loss"][:, 0].tolist() == [1, 2]
    assert {"train/loss", "val/forces_mae"} <= curves.keys()


def test_species_are_those_of_the_training_data_by_atomic_number(config: Path) -> None:
    run = api.fit(config, trainer__max_epochs=1)
    assert run.task.model.species == ["Ne", "Ar"]
    saved = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert saved["model"]["init_args"]["model"]["init_args"]["species"] == ["Ne", "Ar"]


def test_the_data_alone_are_enough(data: Path) -> None:
    run = api.fit({"data": {"train": str(data)}}, trainer={"fast_dev_run": True})
    assert run.trainer.global_step == 1
    assert not Path("run").exists()


def test_without_validation_data_the_training_loss_tells_the_best(config: Path) -> None:
    run = api.fit(
        config, data__split={"train": 6, "val": None, "test": None}, early_stopping={"patience": 1}
    )
    assert run.best.exists()
    assert "val/loss" not in run.metrics


def test_later_configurations_and_words_win(
    config: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = scratch / "other.yaml"
    other.write_text("data: {batch_size: 5}\ntrainer: {max_epochs: 7}")
    with pytest.raises(SystemExit) as end:
        torchml(
            *("fit", "--overwrite", "-c", config, "-c", other),
            *("--trainer.max_epochs", 9, "--print_config"),
        )
    assert end.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["overwrite"] is True
    assert printed["data"]["batch_size"] == 5
    assert printed["trainer"]["max_epochs"] == 9
    assert printed["model"]["init_args"]["model"]["init_args"]["features"] == 8


def test_what_is_saved_is_what_is_run(run: api.Run) -> None:
    """The saved configuration reproduces the run to the last bit."""
    again = api.fit(run.folder / "config.yaml", trainer__default_root_dir="again")
    assert_equal_weights(run.last, again.last)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data.trian", "x"], "--data.trian"),
        (["--model.model.cutof", "3"], "model.model: torchml.models.SchNet: Option 'cutof'"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--config", '{"data": {"trian": 1}}'], "data.trian"),
        (["--config", '{"dta": null}'], "dta"),
        (
            ["--config", '{"model": {"model": {"init_args": {"layers": "x"}}}}'],
            "model.model.layers",
        ),
        (["--trainer.max_epochs", "many"], "trainer.max_epochs: Expected a int: given many"),
        (["--model.optimizer.lr", "0.1"], "model.optimizer: its class is not given"),
        (["--model.model", "no.such.Model"], "No module named 'no'"),
        (["--data.train", "missing.extxyz"], "missing.extxyz"),
        (["--ema.decay", "2"], "ema.decay is 2.0, expected 0 <= decay < 1"),
        (["--checkpoint.every_n_epochs", "0"], "checkpoint.every_n_epochs is 0"),
        (["--trainer.strategy", "many"], "trainer: You selected an invalid strategy"),
        (["--trainer.default_root_dir", "argon.yaml"], "argon.yaml: File exists"),
        (["--ckpt_path", "last"], "run/checkpoints/last.ckpt: no such file"),
        (["--ckpt_path", "missing.ckpt"], "missing.ckpt"),
    ],
)
def test_mistakes_are_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert torchml("fit", "--config", config, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("torchml fit: error: ")
    assert sentence in error and error.count("\n") == 1
    assert not Path("run/checkpoints").exists()


def test_help_is_light_and_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from torchml.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('lightning' in sys.modules or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fit" in done.stdout and done.stdout.endswith("False\n")
    with pytest.raises(SystemExit):
        torchml("fit", "--help")
    assert "    train: silicon.extxyz\n" in capsys.readouterr().out


# --- Test, validate, predict -------------------------------------------------------------------


@pytest.mark.usefixtures("run")
def test_test_validate_and_predict(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert torchml("test", "--config", "run/config.yaml", "--plots", "true") == 0
    output = capsys.readouterr().out
    assert "group 0" in output and "group 1" in output and "forces_mae" in output
    assert Path("run/plots/parity_test.png").exists()

    assert torchml("validate", "--config", "run/config.yaml") == 0
    assert "energy_per_atom_mae" in capsys.readouterr().out

    arguments = ("--data.predict", data, "--ckpt_path", "run/checkpoints/last.ckpt")
    assert torchml("predict", "--config", "run/config.yaml", *arguments) == 0
    assert "run/predictions.extxyz" in capsys.readouterr().out
    frames = read("run/predictions.extxyz", ":")
    for frame, atoms in zip(frames, labelled_structures(20), strict=True):
        np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-7)
        np.testing.assert_allclose(frame.get_forces(), atoms.get_forces(), atol=1e-7)
        assert np.isfinite(frame.info["predicted_energy"])
        assert frame.arrays["predicted_forces"].shape == (len(atoms), 3)
        np.testing.assert_allclose(frame.arrays["predicted_forces"].sum(0), 0, atol=1e-10)


@pytest.mark.usefixtures("run")
def test_metrics_of_a_test_are_those_of_the_predictions() -> None:
    tested = api.test("run/config.yaml").metrics
    predicted = api.predict("run/config.yaml").metrics
    for name in ("energy_mae", "forces_rmse", "forces_cosine"):
        assert predicted[f"predict/{name}"] == pytest.approx(tested[f"test/{name}"], rel=1e-10)
    errors = [
        frame.arrays["predicted_forces"] - frame.get_forces()
        for frame in read("run/predictions.extxyz", ":")
    ]
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) == pytest.approx(
        tested["test/forces_rmse"], rel=1e-6
    )


@pytest.mark.usefixtures("run")
def test_the_checkpoint_must_fit_the_configuration() -> None:
    with pytest.raises(TorchMLError, match=r"best\.ckpt"):
        api.test("run/config.yaml", model__init_args__model__init_args__features=16)


# --- Averaged weights, checkpoints, early stopping ----------------------------------------------


class Follow(Callback):
    """An average of the weights written out, beside the one under test."""

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.average: dict[str, torch.Tensor] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        n = self.steps
        decay = 0.0 if n == 0 else min(self.decay, (1 + n) / (10 + n))
        for name, value in pl_module.state_dict(keep_vars=True).items():
            if not value.requires_grad:
                continue
            old = self.average.get(name, torch.zeros_like(value))
            self.average[name] = decay * old + (1 - decay) * value.detach()
        self.steps += 1


def test_checkpoints_hold_the_averaged_weights(config: Path) -> None:
    follow = {"class_path": f"{__name__}.Follow", "init_args": {"decay": 0.9}}
    run = api.fit(config, ema={"decay": 0.9}, trainer__callbacks=[follow])
    expected = next(one for one in run.trainer.callbacks if isinstance(one, Follow))
    averaged, current = weights(run.last), weights(run.last, "current_model_state")
    moved = 0.0
    for name, value in expected.average.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-9, atol=1e-12)
        moved = max(moved, float((averaged[name] - current[name]).abs().max()))
    assert moved > 3e-5  # an average of one state would prove nothing
    for name, value in run.task.state_dict().items():
        assert torch.equal(value, averaged[name]), name


def test_validation_sees_the_averaged_weights(config: Path) -> None:
    run = api.fit(config, ema={"decay": 0.9}, trainer__max_epochs=1)
    again = api.validate("run/config.yaml", ckpt_path=str(run.last))
    assert again.metrics["val/loss"] == pytest.approx(run.metrics["val/loss"], rel=1e-10)
    options = {"trainer__default_root_dir": "plain", "trainer__max_epochs": 1}
    plain = api.fit(config, ema=None, **options)
    assert plain.metrics["val/loss"] != pytest.approx(run.metrics["val/loss"], rel=1e-6)
    assert "current_model_state" not in torch.load(plain.last, weights_only=True)


def test_best_is_the_epoch_with_the_lowest_validation_loss(config: Path) -> None:
    """With a large learning rate the loss does not just go down."""
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 3.0}}
    run = api.fit(
        config,
        trainer__max_epochs=6,
        model__init_args={"optimizer": optimizer, "schedule": "constant"},
        checkpoint={"every_n_epochs": 2, "every_n_steps": 5},
    )
    losses = read_curves([run.folder / "logs/csv/version_0/metrics.csv"])["val/loss"][:, 1]
    best = api.validate("run/config.yaml").metrics["val/loss"]
    assert best == pytest.approx(losses.min(), rel=1e-6)
    kept = {path.name for path in (run.folder / "checkpoints").iterdir()}
    assert {"best.ckpt", "last.ckpt", "epoch_1.ckpt", "epoch_5.ckpt", "step_20.ckpt"} <= kept


def test_training_ends_when_nothing_improves(config: Path) -> None:
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
    run = api.fit(
        config,
        trainer__max_epochs=50,
        model__init_args={"optimizer": optimizer, "schedule": "constant"},
        early_stopping={"patience": 3},
    )
    assert run.trainer.current_epoch < 6


# --- Resuming ----------------------------------------------------------------------------------


class KillAt(Callback):
    """What a power cut does: no handler runs."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any
    ) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("options", [{}, {"last_every_n_steps": 3}])
def test_a_killed_training_ends_as_if_nothing_had_happened(
    config: Path, options: dict[str, int]
) -> None:
    """Killed in the third of four epochs; the last checkpoint is of its beginning or its middle."""
    settings: dict[str, Any] = {"trainer__max_epochs": 4, "checkpoint": options}
    kill = {"class_path": f"{__name__}.KillAt", "init_args": {"step": 11}}  # 4 steps an epoch
    killed = multiprocessing.get_context("fork").Process(
        target=api.fit, args=(config,), kwargs=settings | {"trainer__callbacks": [kill]}
    )
    killed.start()
    whole = api.fit(config, trainer__default_root_dir="whole", **settings)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    resumed = api.fit(config, ckpt_path="last", **settings)
    assert resumed.trainer.global_step == 16
    assert_equal_weights(whole.last, resumed.last)
    logs = sorted(Path("run/logs/csv").glob("*/metrics.csv"))
    assert len(logs) == 2
    both, one = read_curves(logs), read_curves([Path("whole/logs/csv/version_0/metrics.csv")])
    np.testing.assert_array_equal(both["val/loss"], one["val/loss"])


def test_a_run_is_not_overwritten_by_accident(config: Path, run: api.Run) -> None:
    old = run.last.read_bytes()
    with pytest.raises(TorchMLError, match="by --overwrite,"):
        api.fit(config)
    assert run.last.read_bytes() == old
    api.fit(config, overwrite=True, seed_everything=5)
    assert run.last.read_bytes() != old
    assert len(list(Path("run/logs/csv").iterdir())) == 1


def test_wrong_data_replace_nothing(config: Path, run: api.Run) -> None:
    """A folder that holds a training keeps it, and a new one is not begun."""
    old = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    write("bad.extxyz", [Atoms("ArNe", info={"energy": 0.0})])
    bad = {"data__train": "bad.extxyz", "data__val": "bad.extxyz"}
    with pytest.raises(TorchMLError, match=r"bad\.extxyz, configuration 0 has no forces"):
        api.fit(config, **bad, data__split=None, data__duplicates="allow", overwrite=True)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == old
    with pytest.raises(TorchMLError, match="configuration 0 is a duplicate"):
        api.fit(config, **bad, data__split=None, trainer__default_root_dir="fresh")
    assert not Path("fresh").exists()


def test_every_epoch_and_step_can_be_kept(config: Path) -> None:
    api.fit(config, checkpoint={"every_n_epochs": 1, "every_n_steps": 4, "last_every_n_steps": 4})
    names = {path.name for path in Path("run/checkpoints").iterdir()}
    assert {"best.ckpt", "last.ckpt", "epoch_0.ckpt", "epoch_1.ckpt", "step_4.ckpt"} <= names


def test_a_monitor_that_is_not_logged(config: Path) -> None:
    with pytest.raises(
        TorchMLError, match=r"early_stopping\.monitor is 'val/foo', expected one of"
    ):
        api.fit(config, early_stopping={"monitor": "val/foo"})


def test_validation_needs_data(config: Path, run: api.Run) -> None:
    with pytest.raises(TorchMLError, match="no configurations to validate"):
        api.validate("run/config.yaml", data__split={"val": 0})


def test_a_checkpoint_is_replaced_whole(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While a new checkpoint is being written, the old one is complete."""
    path = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"value": torch.ones(3)}, path)
    save = torch.save

    def save_half(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(OSError, match="full"):
        writer.save_checkpoint({"value": torch.zeros(3)}, path)
    monkeypatch.setattr(torch, "save", save)
    assert torch.equal(writer.load_checkpoint(path)["value"], torch.ones(3))


# --- When numbers go wrong ------------------------------------------------------------------------


class Poison(Callback):
    """Weights that are no numbers, as after a step that was too long."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 6:
            for parameter in pl_module.parameters():
                parameter.data.fill_(torch.nan)


def test_a_loss_that_is_no_number_ends_the_training(config: Path, data: Path) -> None:
    poison = {"class_path": f"{__name__}.Poison"}
    with pytest.raises(TorchMLError) as error:
        api.fit(config, trainer__callbacks=[poison], trainer__default_root_dir="poisoned")
    message = str(error.value)
    assert "the loss became nan in epoch 1, step 6" in message
    assert message.count(f"{data.name}, configuration ") == 3  # those of the batch
    for value in weights(Path("poisoned/checkpoints/last.ckpt")).values():
        assert torch.isfinite(value).all()


# --- Several ranks -----------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", ["fork", "mpirun"])
def test_two_ranks_train_as_one_with_twice_the_batch(config: Path, launcher: str) -> None:
    if launcher == "fork":
        api.fit(
            config,
            trainer={"devices": 2, "strategy": "ddp_fork"},
            trainer__default_root_dir="two",
        )
    else:
        program = "import sys; from torchml.cli import main; sys.exit(main())"
        words = ["fit", "--config", str(config), "--trainer.default_root_dir", "two"]
        done = subprocess.run(
            ["mpirun", "-n", "2", sys.executable, "-c", program, *words],
            # Without it, torch warns where the name of the machine has no address.
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("The model is in two/checkpoints") == 1  # one rank speaks
        assert "arning" not in done.stdout + done.stderr
    one = api.fit(config, data__batch_size=6, trainer__default_root_dir="one")
    log = "logs/csv/version_0/metrics.csv"
    first, second = read_curves([Path("one", log)]), read_curves([Path("two", log)])
    for name in ("train/loss", "val/loss", "val/forces_mae", "val/energy_per_atom_rmse"):
        np.testing.assert_allclose(second[name], first[name], rtol=1e-6)
    two = weights(Path("two/checkpoints/last.ckpt"))
    for name, value in weights(one.last).items():
        torch.testing.assert_close(two[name], value, rtol=1e-6, atol=1e-9)
