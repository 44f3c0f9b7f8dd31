"""OCP's documented command lines end to end, to files with its names and layouts."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import submitit
import torch
import yaml

from helpers import slurm
from helpers.ocp_configs import (
    IS2RE_BASE,
    IS2RE_SCHNET,
    RELAXATIONS,
    S2EF_2024,
    S2EF_BASE,
    S2EF_SCHNET,
)
from helpers.ocp_data import frames, starts
from torchml import Potential, TorchMLError
from torchml.compat.ocp.command import main
from torchml.data import read, write_aselmdb, write_lmdb
from torchml.data.writing import write_extxyz
from torchml.training import fit

TRAIN, VAL, TEST = range(6), range(6, 8), range(8, 11)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in OCP's LMDB and in .aselmdb: S2EF in folders of files, IS2RE in one file each."""
    folder = tmp_path_factory.mktemp("ocp")
    for name, sids in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        for ending, write in (("lmdb", write_lmdb), ("aselmdb", write_aselmdb)):
            write(frames(sids), folder / "s2ef" / f"{name}-{ending}" / f"data.0000.{ending}")
            write(starts(sids), folder / "is2re" / f"{name}.{ending}")
    return folder


def configure(data: Path, kind: str, text: str, base: str = "", ending: str = "lmdb") -> None:
    """Write main.yml, and base.yml, in the working folder."""
    path = f"{{}}.{ending}" if kind == "is2re" else f"{{}}-{ending}/"
    energies = [c.energy for c in frames(TRAIN)]
    values = {
        "train": f"{data}/{kind}/{path.format('train')}",
        "val": f"{data}/{kind}/{path.format('val')}",
        "mean": float(np.mean(energies)),
        "std": float(np.std(energies)),
        "relax": f"{data}/is2re/test.{ending}",
    }
    Path("base.yml").write_text(base.format(**values))
    Path("main.yml").write_text(text.format(**values))


def run(mode: str, *words: str) -> None:
    assert main(["--mode", mode, "--config-yml", "main.yml", "--cpu", *words]) == 0


def only(pattern: str) -> Path:
    (path,) = Path().glob(pattern)
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training for S2EF."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        configure(data, "s2ef", S2EF_SCHNET + RELAXATIONS, S2EF_BASE)
        run("train", "--timestamp-id", "first")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def s2ef(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of that training; its folder is the working directory."""
    monkeypatch.chdir(trained)
    return Path("checkpoints/first/checkpoint.pt")


def test_is2re(data: Path, scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A training, which ends with predictions, alone and in two processes."""
    configure(data, "is2re", IS2RE_SCHNET, IS2RE_BASE)
    test = f"--dataset.test.src={data}/is2re/test.lmdb"
    run("train", "--identifier", "alone", test)
    output = capfd.readouterr().out
    assert "# version of OCP: 2021" in output and "in TorchML: torchml fit --config FILE" in output
    printed = yaml.safe_load(output[output.index("seed_everything") :].split("\n\n")[0])
    assert only("logs/tensorboard/*-alone/events*")
    checkpoint, results = only("checkpoints/*-alone/checkpoint.pt"), only("results/*-alone")
    with np.load(results / "is2re_predictions.npz") as file:
        assert set(file) == {"ids", "energy"}
        assert file["ids"].tolist() == sorted(map(str, TEST))
        assert file["energy"].dtype == np.float64
        energies = dict(zip(file["ids"].tolist(), file["energy"].tolist(), strict=True))
    potential = Potential(str(checkpoint))
    for start in starts(TEST):
        wanted = potential.evaluate(start.to_atoms(), forces=False).energy
        assert energies[str(start.sid)] == pytest.approx(wanted, abs=1e-9)
    assert json.loads((results / "predictions.json").read_text()) == pytest.approx(
        [energies[str(start.sid)] for start in starts(TEST)]
    )
    same = fit(printed, trainer__default_root_dir="same", trainer__logger=False, plots=False)
    two = ("--identifier", "two", "--distributed", "--num-gpus", "2", "--optim.batch_size=2")
    run("train", *two, test)
    assert capfd.readouterr().out.count("# version of OCP") == 1
    lasts = [only(f"checkpoints/*-{name}/checkpoints/last.ckpt") for name in ("alone", "two")]
    alone, both, printed_one = (
        torch.load(path, weights_only=True)["state_dict"] for path in (*lasts, same.last)
    )
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(printed_one[name], value, rtol=0, atol=0)
    with np.load(only("results/*-two/is2re_predictions.npz")) as file:
        assert dict(zip(file["ids"].tolist(), file["energy"].tolist(), strict=True)) == (
            pytest.approx(energies, rel=1e-4)
        )


def test_s2ef_trains_validates_and_predicts(
    data: Path, s2ef: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert s2ef.is_file() and (s2ef.parent / "best_checkpoint.pt").is_file()
    content = torch.load(s2ef, weights_only=True)
    assert content["torchml"]["task"] == "s2ef"
    assert torch.load(s2ef.parent / "checkpoints" / "best.ckpt", weights_only=True).keys() == (
        content.keys()
    )
    run("validate", "--checkpoint", str(s2ef))
    line = capsys.readouterr().out.splitlines()[-1]
    printed = {name: float(value) for name, value in (p.split(": ") for p in line.split(", "))}
    potential = Potential(str(s2ef))
    validated = frames(VAL)
    results = [potential.evaluate(c.to_atoms()) for c in validated]
    errors = [abs(r.energy - c.energy) for r, c in zip(results, validated, strict=True)]
    assert printed["energy_mae"] == pytest.approx(np.mean(errors), abs=2e-4)
    free = [~c.fixed for c in validated]
    components = np.concatenate(
        [(r.forces - c.forces)[f] for r, c, f in zip(results, validated, free, strict=True)]
    )
    assert printed["forces_mae"] == pytest.approx(np.abs(components).mean(), abs=2e-4)
    assert {"forces_cos", "forcesx_mae", "energy_force_within_threshold", "loss"} <= set(printed)
    words = (f"--dataset.test.src={data}/s2ef/test-lmdb/", "--timestamp-id", "second")
    run("predict", "--checkpoint", str(s2ef), *words)
    with np.load("results/second/s2ef_predictions.npz") as file:
        assert set(file) == {"ids", "energy", "forces", "chunk_idx"}
        tested = frames(TEST)
        assert file["ids"].tolist() == sorted(f"{c.sid}_{c.fid}" for c in tested)
        assert file["forces"].dtype == np.float16 and file["energy"].dtype == np.float64
        assert file["forces"].shape == (5 * len(tested), 3)  # five atoms of each are free
        assert file["chunk_idx"].tolist() == [5 * k for k in range(1, len(tested))]
    predictions = json.loads(Path("results/second/predictions.json").read_text())
    assert len(predictions) == len(tested)
    assert json.loads(Path("predictions.json").read_text()) == predictions  # the place of 2020


def test_structures_without_an_id_get_their_number(
    s2ef: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in OCP's readers of ASE's files; a file of another program at OCP's place stays."""
    unnamed = [replace(c, sid=None, fid=None) for c in frames(TEST)]
    write_extxyz(unnamed, "unnamed.extxyz")
    for folder in ("unnamed", "elsewhere"):
        Path(folder).mkdir()
    Path("elsewhere/predictions.json").write_text("theirs")
    words = ("--dataset.test.src=unnamed.extxyz", "--timestamp-id", "x")
    for folder in ("unnamed", "elsewhere"):
        run("predict", "--checkpoint", str(s2ef), "--run-dir", folder, *words)
        with np.load(f"{folder}/results/x/s2ef_predictions.npz") as file:
            assert file["ids"].tolist() == sorted(str(k) for k in range(len(unnamed)))
    output = capsys.readouterr().out
    assert "has no sid: numbers, from 0, are the ids" in output
    assert "elsewhere/predictions.json is there and stays" in output
    assert Path("elsewhere/predictions.json").read_text() == "theirs"
    assert Path("unnamed/predictions.json").read_text() == (
        Path("unnamed/results/x/predictions.json").read_text()
    )


@pytest.mark.parametrize("ending", ["lmdb", "aselmdb"])
def test_relaxations(
    ending: str, data: Path, s2ef: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"--task.relax_dataset.src={data}/is2re/test.{ending}", "--timestamp-id", ending)
    run("run_relaxations", "--checkpoint", str(s2ef), *words)
    output = capsys.readouterr().out
    assert "average_distance_within_threshold: " in output and "energy_mae: " in output
    with np.load(f"results/{ending}/relaxed_positions.npz") as file:
        assert set(file) == {"ids", "pos", "chunk_idx"}
        assert file["ids"].tolist() == sorted(map(str, TEST))
        atoms = len(starts(TEST)[0])
        assert file["pos"].shape == (3 * atoms, 3)
        assert file["chunk_idx"].tolist() == [atoms, 2 * atoms]
        positions = dict(zip(file["ids"], np.split(file["pos"], file["chunk_idx"]), strict=True))
    listed = dict(json.loads(Path(f"results/{ending}/relaxed_pos_0.json").read_text()))
    for start in starts(TEST):
        moved = positions[str(start.sid)] - start.positions
        assert np.abs(moved[start.fixed]).max() == 0
        assert 0 < np.linalg.norm(moved, axis=1).max() <= 4 * 0.04 + 1e-6
        np.testing.assert_allclose(listed[str(start.sid)], positions[str(start.sid)])
    assert sorted(p.name for p in Path("trajectories").iterdir()) == ["10.traj", "8.traj", "9.traj"]


def test_a_folder_of_structures_is_relaxed(data: Path, s2ef: Path) -> None:
    """In files of 2020, relax_dataset.src is a folder."""
    folder = Path("starts")
    folder.mkdir()
    write_lmdb(starts(TEST), folder / "data.0000.lmdb")
    words = ("--task.relax_dataset.src=starts", "--timestamp-id", "folder")
    run("run_relaxations", "--checkpoint", str(s2ef), *words)
    assert len(json.loads(Path("results/folder/relaxed_pos_0.json").read_text())) == len(TEST)


def test_the_form_of_2024(data: Path, scratch: Path) -> None:
    configure(data, "s2ef", S2EF_2024, ending="aselmdb")
    run("train", f"--dataset.test.src={data}/s2ef/test-aselmdb/", "--optim.ema_decay=0.9")
    folder = only("checkpoints/*")
    last = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert last["epoch"] == 1 and last["global_step"] == 16  # the latest, not the best
    assert (folder / "best_checkpoint.pt").is_file()
    with np.load(only("results/*/ocp_predictions.npz")) as file:
        assert file["energy"].dtype == np.float16
    rate = last["lr_schedulers"][0]["_last_lr"][0]
    assert rate == pytest.approx(0.0005 * (0.2 + 0.8 * 16 / 4687))


def test_a_training_continues_from_its_checkpoint(s2ef: Path) -> None:
    words = ("--checkpoint", str(s2ef.parent / "checkpoints/last.ckpt"), "--optim.max_epochs=3")
    run("train", *words, "--timestamp-id", "third")
    again = torch.load("checkpoints/third/checkpoints/last.ckpt", weights_only=True)
    assert again["epoch"] == 2


def test_debug_leaves_no_files(data: Path, scratch: Path) -> None:
    configure(data, "is2re", IS2RE_SCHNET, IS2RE_BASE)
    run("train", "--debug", "--optim.max_epochs=1")
    assert sorted(path.name for path in Path().iterdir()) == ["base.yml", "main.yml"]


def test_a_job_of_submitit(data: Path, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(data, "is2re", IS2RE_SCHNET, IS2RE_BASE, "aselmdb")
    words = ("--submit", "--cluster", "local", "--wait", "--identifier", "job")
    run("train", *words, "--optim.max_epochs=1")
    assert "submitted jobs: " in capsys.readouterr().out
    assert only("checkpoints/*-job/checkpoint.pt").is_file()
    assert only("logs/exp/*.log").read_text().count("\n") == 1


def test_what_slurm_is_asked_for(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an sbatch that only keeps what it is given."""
    slurm.stand_in(scratch, monkeypatch)
    configure(data, "is2re", IS2RE_SCHNET, IS2RE_BASE)
    Path("sweep.yml").write_text("optim:\n  lr_initial: [0.1, 0.01]\n")
    words = ["--submit", "--sweep-yml", "sweep.yml", "--distributed", "--num-gpus=2"]
    words += ["--num-nodes", "2", "--slurm-mem", "16", "--slurm-timeout", "2"]
    run("train", *words, "--slurm-partition", "gpu")
    assert "submitted jobs: 77_0, 77_1" in capsys.readouterr().out
    script = Path("job.sh").read_text()
    for line in ("nodes=2", "ntasks-per-node=2", "time=120", "partition=gpu", "mem=16GB"):
        assert f"#SBATCH --{line}\n" in script
    jobs = sorted(Path("logs").glob("*/77_?_submitted.pkl"))
    jobs = [submitit.core.utils.DelayedSubmission.load(path).function for path in jobs]
    for number, job in enumerate(jobs):
        assert job.words[-2] == "--timestamp-id" and job.words[-1].endswith(f"_run{number}")
        assert f"--optim.lr_initial=0.{'0' * number}1" in job.words
        assert not {"--submit", "--sweep-yml", "sweep.yml"} & set(job.words)
    assert len(jobs) == 2 and job.checkpoint().function.resume


@pytest.mark.parametrize(
    ("mode", "words", "sentence"),
    [
        ("validate", (), "--mode validate needs --checkpoint"),
        ("validate", ("--checkpoint", "no.pt"), r"no\.pt: no such file"),
        ("predict", ("--checkpoint", "no.pt"), "needs test data, expected dataset.test.src"),
        ("run-relaxations", ("--checkpoint", "no.pt"), r"no\.pt: no such file"),
        ("train", ("--dataset.train.src=absent.lmdb",), r"absent\.lmdb does not exist"),
        ("train", ("--trainer=energy",), "has no 'y_relaxed'"),
        (
            "train",
            ("--dataset.train.src={data}/is2re/train.lmdb",),
            "none of 6 configurations has an energy",
        ),
    ],
)
def test_errors_are_one_sentence(
    data: Path, scratch: Path, mode: str, words: tuple[str, ...], sentence: str
) -> None:
    configure(data, "s2ef", S2EF_SCHNET + RELAXATIONS, S2EF_BASE)
    with pytest.raises(TorchMLError, match=sentence):
        run(mode, *(word.format(data=data) for word in words))
    assert not list(Path().glob("checkpoints/*/checkpoint.pt"))


def test_other_checkpoints_are_refused(s2ef: Path, tmp_path: Path) -> None:
    with pytest.raises(TorchMLError, match=r"has a network with cutoff 4\.0, but .* says 5\.0"):
        run("validate", "--checkpoint", str(s2ef), "--model.cutoff=5.0")
    theirs = tmp_path / "theirs.pt"
    torch.save({"state_dict": {}, "normalizers": {}, "config": {}, "epoch": 3}, theirs)
    with pytest.raises(TorchMLError, match="is a checkpoint of OCP, whose weights fit no network"):
        run("validate", "--checkpoint", str(theirs))


def test_a_job_without_launcher_needs_one_name(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(data, "is2re", IS2RE_SCHNET, IS2RE_BASE)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TorchMLError, match="expected --timestamp-id NAME"):
        run("train", "--distributed", "--num-gpus", "2")


def test_read_back(data: Path) -> None:
    """The data of these tests have OCP's ids and labels."""
    for ending in ("lmdb", "aselmdb"):
        (first, *_) = read(f"{data}/is2re/test.{ending}")
        assert first.sid == "8" and first.relaxed_energy is not None
