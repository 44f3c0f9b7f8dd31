"""`torchml evaluate`: tables, JSON, ranks, and errors in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.evaluated import labelled_pairs, relaxed_configurations
from helpers.portable import write_example
from helpers.silicon import silicon
from torchml import cli
from torchml.data.writing import write_extxyz
from torchml.evaluation import evaluate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sw.pt, a model; silicon.extxyz, its labels; wrong.extxyz, where each energy is 0.8 higher."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copy(write_example("sw", "edges", folder).archive, folder / "sw.pt")
    configurations = silicon(5)
    write_extxyz(configurations, folder / "silicon.extxyz")
    wrong = [
        type(c)(c.numbers, c.positions, c.cell, c.pbc, energy=c.energy + 0.8, group=f"g{k % 2}")
        for k, c in enumerate(configurations)
    ]
    write_extxyz(wrong, folder / "wrong.extxyz")
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def run(*words: str) -> dict[str, Any]:
    assert cli.main(["evaluate", *words, "--json", "out.json"]) == 0
    return json.loads(Path("out.json").read_text())


def test_a_model_on_its_own_labels(capsys: pytest.CaptureFixture[str]) -> None:
    found = run("sw.pt", "silicon.extxyz")
    metrics = found["metrics"]
    for name in ("energy_mae", "forces_mae", "stress_mae"):
        assert metrics[name] == pytest.approx(0, abs=1e-9)
    assert metrics["efwt"] == 1 and metrics["forces_cosine"] == pytest.approx(1)
    assert found["counts"]["forces_mae"] == 5 * 8 * 3
    assert (found["structures"], found["atoms"], found["task"]) == (5, 40, "s2ef")
    assert found["predictions"] == "sw.pt" and found["data"] == ["silicon.extxyz"]
    assert {"torchml", "torch", "numpy"} <= set(found["versions"])
    shown = capsys.readouterr().out
    assert shown.startswith("sw.pt on silicon.extxyz: 5 structures, 40 atoms\n")
    assert "energy_per_atom_mae" in shown and "meV/atom" in shown and "forces_x_mae" in shown


def test_units_groups_and_elements(capsys: pytest.CaptureFixture[str]) -> None:
    found = run("sw.pt", "wrong.extxyz")
    assert found["metrics"]["energy_per_atom_mae"] == pytest.approx(0.1)
    assert set(found["groups"]) == {"g0", "g1"}
    assert found["groups"]["g1"]["metrics"]["energy_mae"] == pytest.approx(0.8)
    assert found["worst"]["energy"][0]["energy_error"] == pytest.approx(-0.8)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["energy_per_atom_mae", "100", "meV/atom"] for line in lines)
    assert "by group" in lines


def test_names_of_groups_are_no_markup(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]", "[/x]", ":smile:", "a<b>&", "plain"]
    configurations = [replace(c, group=g) for c, g in zip(silicon(5), names, strict=True)]
    write_extxyz(configurations, folder / "[x] groups.extxyz")
    assert set(run("sw.pt", "[x] groups.extxyz")["groups"]) == set(names)
    shown = capsys.readouterr().out
    assert shown.startswith("sw.pt on [x] groups.extxyz: 5 structures")
    assert {line.split()[0] for line in shown.splitlines() if line} >= set(names)


def test_relaxed_energies_of_initial_structures(folder: Path) -> None:
    configurations = [
        type(c)(c.numbers, c.positions, c.cell, c.pbc, relaxed_energy=c.energy - 0.011 * k)
        for k, c in enumerate(silicon(4))
    ]
    write_extxyz(configurations, folder / "is2re.extxyz")
    found = run("sw.pt", "is2re.extxyz", "--task", "is2re")
    assert found["metrics"]["energy_mae"] == pytest.approx(0.0165)
    assert found["metrics"]["ewt"] == 0.5  # 0 and 0.011 eV
    assert found["counts"] == dict.fromkeys(found["metrics"], 4)


def write_predictions(folder: Path) -> list[Any]:
    pairs = labelled_pairs(number=30)
    write_extxyz([c for c, _ in pairs], folder / "labels.extxyz")
    forces = [p.forces for _, p in pairs]
    np.savez(
        folder / "p.npz",
        ids=np.array([f"{c.sid}_{c.fid}" for c, _ in pairs]),
        energy=np.array([p.energy for _, p in pairs]),
        forces=np.concatenate(forces),
        chunk_idx=np.cumsum([len(f) for f in forces])[:-1],
    )
    return pairs


def test_a_file_of_predictions(folder: Path) -> None:
    pairs = write_predictions(folder)
    for words, free_only in (([], True), (["--all-atoms"], False)):
        found = run("p.npz", "--reference", "labels.extxyz", *words)
        expected = evaluate(pairs, free_atoms_only=free_only).metrics
        shared = {k: v for k, v in expected.items() if not k.startswith("stress")}
        assert found["metrics"] == pytest.approx(shared)
        assert found["free_atoms_only"] == free_only


def test_forces_of_a_calculator_at_relaxed_positions(folder: Path) -> None:
    """AFbT of the labels' own positions, judged by the model: forces from ASE's calculator."""
    from torchml import Calculator

    configurations = silicon(4)
    relaxed = [
        type(c)(c.numbers, c.positions, c.cell, c.pbc, relaxed_positions=c.positions, sid=str(k))
        for k, c in enumerate(configurations)
    ]
    write_extxyz(relaxed, folder / "is2rs.extxyz")
    positions = [0.9 * c.positions + 0.1 * np.round(c.positions, 1) for c in configurations]
    rows = [[str(k), p.tolist()] for k, p in enumerate(positions)]
    (folder / "relaxed_pos_0.json").write_text(json.dumps(rows))
    words = ["relaxed_pos_0.json", "--reference", "is2rs.extxyz", "--calculator", "sw.pt"]
    metrics = run(*words)["metrics"]
    largest = []
    for c, p in zip(relaxed, positions, strict=True):
        atoms = c.to_atoms()
        atoms.positions = p
        atoms.calc = Calculator("sw.pt")
        largest.append(np.linalg.norm(atoms.get_forces(), axis=1).max())
    thresholds = np.arange(0.01, 0.4, 0.001)
    assert metrics["afbt"] == np.mean([f < t for f in largest for t in thresholds])
    assert metrics["fbt"] == np.mean([f < 0.05 for f in largest])
    assert metrics["adwt"] > 0.9


def test_files_of_predict_and_of_relax(folder: Path) -> None:
    words = ["sw.pt", "silicon.extxyz", "--stress"]
    assert cli.main(["predict", *words, "--output", "predicted.extxyz"]) == 0
    found = run("predicted.extxyz")
    assert found["metrics"] == pytest.approx(run("sw.pt", "silicon.extxyz")["metrics"], abs=1e-9)
    assert found["counts"]["stress_mae"] == 30

    assert cli.main(["relax", "sw.pt", "silicon.extxyz", "--output", "relaxed"]) == 0
    relaxed = json.loads(Path("relaxed/relaxed_pos_0.json").read_text())
    configurations = [
        type(c)(c.numbers, c.positions, c.cell, c.pbc, relaxed_positions=np.array(positions))
        for c, (_, positions) in zip(silicon(5), sorted(relaxed), strict=True)
    ]
    write_extxyz(configurations, folder / "ends.extxyz")
    for name in ("relaxed_positions.npz", "relaxed_pos_0.json"):
        found = run(f"relaxed/{name}", "--reference", "ends.extxyz", "--calculator", "sw.pt")
        metrics = found["metrics"]
        assert found["task"] == "is2rs"
        assert metrics["adwt"] == 1 and metrics["distance"] == pytest.approx(0, abs=1e-9)
        assert metrics["fbt"] == 1 and metrics["afbt"] > 0.95


@pytest.mark.parametrize("launcher", ["mpirun", "torchrun"])
def test_two_ranks_find_what_one_finds(folder: Path, launcher: str) -> None:
    write_predictions(folder)
    words = ["evaluate", "p.npz", "--reference", "labels.extxyz"]
    address = {}
    if launcher == "mpirun":
        words = ["evaluate", "sw.pt", "silicon.extxyz", "wrong.extxyz"]
        start = ["mpirun", "-n", "2", sys.executable]
        address = {"MASTER_ADDR": "127.0.0.1"}  # as scripts of clusters set it
    else:
        start = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--local-addr=127.0.0.1",  # the name of a machine need not have an address
            "--nproc-per-node=2",
        ]
    one = run(*words[1:])
    Path("out.json").unlink()
    done = subprocess.run(
        [*start, "-m", "torchml", *words, "--json", "out.json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | address,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Metrics are in out.json") == 1  # one rank prints
    two = json.loads(Path("out.json").read_text())
    assert two["counts"] == one["counts"] and two["structures"] == one["structures"]
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-12, abs=1e-12)
    for parts in ("groups", "elements"):
        assert two[parts].keys() == one[parts].keys()
        for name, part in two[parts].items():
            assert part["counts"] == one[parts][name]["counts"]
            expected = one[parts][name]["metrics"]
            assert part["metrics"] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    if launcher == "torchrun":  # of predictions, whose errors are no matter of rounding
        places = [[w["index"] for w in found["worst"]["energy"]] for found in (one, two)]
        assert places[0] == places[1]
    # Of structures with equal errors, rounding decides which comes first, and of those whose error
    # is rounding itself, which is there.
    worst = [
        sorted(
            (round(w["error"], 9), w["source"], w["index"])
            for w in found["worst"]["energy"]
            if abs(w["error"]) > 1e-9
        )
        for found in (one, two)
    ]
    assert worst[0] == worst[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sw.pt"], "sw.pt is given alone, expected DATA"),
        (["p.npz"], "p.npz is given alone, expected --reference"),
        (["p.npz", "a", "--reference", "b"], "both DATA (a) and --reference are given"),
        (["sw.pt", "silicon.extxyz", "--task", "is2rs"], "compares relaxed structures"),
        (["sw.pt", "silicon.extxyz", "--task", "is2re"], "expected relaxed energies (y_relaxed)"),
        (
            ["sw.pt", "silicon.extxyz", "--calculator", "sw.pt"],
            "--calculator is for the task is2rs",
        ),
        (["absent.npz", "--reference", "silicon.extxyz"], "absent.npz does not exist"),
        (["sw.pt", "absent.extxyz"], "absent.extxyz"),
        (["absent.pt", "silicon.extxyz"], "absent.pt"),
        (
            ["silicon.extxyz", "silicon.extxyz"],
            "a file of predictions and not a model, expected --",
        ),
        (["sw.pt", "copper.extxyz"], "copper.extxyz, configuration 0"),
    ],
)
def test_wrong_input_is_one_sentence(
    words: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_predictions(folder)
    write_extxyz(relaxed_configurations(number=1), folder / "copper.extxyz")
    assert cli.main(["evaluate", *words]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("torchml evaluate: error: ") and sentence in shown
    assert shown.count("\n") == 1
