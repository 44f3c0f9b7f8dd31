"""What a training shows: curves, parity plots, tables; and how it learns about other ranks."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from helpers.batches import some_batch
from torchml.errors import TorchMLError
from torchml.evaluation.metrics_table import groups_table, metrics_table, with_unit
from torchml.training.callbacks import parity
from torchml.training.launchers import Ranks, cluster_environment, launched_ranks
from torchml.training.loop.prediction import Prediction
from torchml.training.outputs.plots import plot_learning_curves, plot_parity, read_curves
from torchml.training.parse_errors import one_line


def test_curves_of_a_training_that_was_resumed_and_killed(tmp_path: Path) -> None:
    first, second = tmp_path / "0.csv", tmp_path / "1.csv"
    first.write_text("epoch,step,train/loss,val/loss\n0,9,,4.0\n0,9,3.0,\n1,19,,3.0\n1,19,2")
    second.write_text("epoch,step,val/loss,lr\n1,19,2.5,\n2,29,nan,\n3,39,2.0,0.1\n")
    curves = read_curves([first, second])
    assert curves["val/loss"].tolist() == [[1, 4.0], [2, 2.5], [4, 2.0]]
    assert curves["train/loss"][0].tolist() == [1, 3.0]
    plot_learning_curves([first, second], tmp_path / "plots" / "curves.png")
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["curves.png"]


def test_parity_plots_have_a_panel_for_each_label(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    points = {name: generator.normal(size=(50, 2)) for name in ("energy", "forces", "stress")}
    for names in (("energy",), ("energy", "forces"), ("energy", "forces", "stress")):
        path = tmp_path / f"{len(names)}.png"
        plot_parity({name: points[name] for name in names}, {"forces_mae": 0.1}, "test", path)
    widths = [Image.open(tmp_path / f"{n}.png").size[0] for n in (1, 2, 3)]
    assert widths[1] == 2 * widths[0] and widths[2] == 3 * widths[0]
    plot_parity({"energy": np.empty((0, 2))}, {}, "nothing", tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()


def test_points_of_large_data_are_bounded_and_even(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "LIMIT", 600)
    plots = parity.Plots(tmp_path)
    trainer: Any = SimpleNamespace(num_test_batches=[4], world_size=1)
    before = torch.get_rng_state()
    plots.on_test_epoch_start(trainer, None)  # type: ignore[arg-type]
    batches = [some_batch(seed, [20] * 5) for seed in range(4)]
    for batch, labelled in batches:
        prediction = Prediction(labelled.energy, labelled.forces)
        plots.on_test_batch_end(None, None, prediction, batch)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)  # plots must not change a training
    points = plots._gathered()
    assert points["energy"].shape == (20, 2) and points["stress"].shape == (0, 2)
    assert points["forces"].shape == (600, 2)
    for batch, _ in batches:  # each batch gave as much
        there = np.isin(points["forces"][:, 0], batch.forces.numpy())
        assert there.sum() == 150


def test_tables_say_units() -> None:
    assert with_unit("energy_per_atom_mae", 0.0032141) == "3.214 meV/atom"
    assert with_unit("forces_rmse", 0.1) == "0.1 eV/Å"
    assert with_unit("forces_cosine", 0.5) == "0.5"
    assert with_unit("energy_loss", 0.5) == "0.5"
    assert with_unit("stress_mae", 1 / 160.21766) == "1 GPa"
    assert with_unit("efwt", 0.25) == "25 %"


def printed(table: Table) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_tables_leave_out_what_is_not_known() -> None:
    text = printed(
        metrics_table("test", {"forces_mae": 0.1, "forces_x_mae": 0.2, "ewt": float("nan")})
    )
    assert "forces_mae" in text and "forces_x_mae" not in text and "nan" not in text


def test_groups_are_rows_that_fit_a_terminal() -> None:
    errors = {"energy_per_atom_mae": 0.002, "forces_mae": 0.1, "ewt": 0.5}
    groups = {f"group {k}": errors for k in range(9)} | {"bare": {"energy_per_atom_mae": 0.001}}
    lines = printed(groups_table("by group", groups)).splitlines()
    assert len(lines) == 3 + 10 and max(map(len, lines)) <= 80
    assert lines[1].split() == ["energy", "MAE", "forces", "MAE"]
    assert lines[2].split() == ["group", "meV/atom", "eV/Å"]
    assert lines[-2].split() == ["group", "8", "2", "0.1"] and lines[-1].split() == ["bare", "1"]


def test_messages_of_the_parser_become_one_line() -> None:
    message = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'a.Task'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'a.S2EF':
        Parser key "model":
          Problem with given class_path 'a.SchNet':
            Parser key "layers":
              Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {'init_args': {}}"""
    assert one_line(message) == "model.model.layers: a.SchNet: Expected a int"
    assert one_line("unrecognized arguments: --x") == "unrecognized arguments: --x"


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, None),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "fit"}, Ranks(4, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "bash"}, None),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "fit"}, None),
        (
            {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3"},
            Ranks(3, 2),
        ),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
    ],
)
def test_ranks_that_were_launched(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], ranks: Ranks | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_ranks() == ranks
    # Where there are none, Lightning must not look for MPI by starting it.
    assert (cluster_environment() is None) == (ranks is not None)


def test_mpirun_without_mpi4py_is_an_error_not_two_trainings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(TorchMLError, match="mpi4py"):
        launched_ranks()
