"""Predictions of data sets: any order, several threads and ranks, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import portable
from helpers.labelled import structures
from torchml import Potential, cli
from torchml.contract import metadata
from torchml.data import Configuration, Keys, read, write_aselmdb, write_extxyz, write_lmdb
from torchml.data.ranks import Ranks
from torchml.data.sequences import Selection
from torchml.errors import FileError
from torchml.evaluation import Predictions, predict, predict_to_file, predicting, work_folder
from torchml.inference.call_size import CALL_SECONDS, MOST_EDGES_ON_GPU
from torchml.inference.many import ManyStructures
from torchml.models import SchNet, describe, script

COUNT = 24


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    species = ["H", "C", "O", "Cu", "Pt", "Au"]
    model = SchNet(species, cutoff=3.0, layers=2, features=4, gaussians=4)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    metadata.save(script(model, "edges"), path, describe(model, "edges"))
    return path


@pytest.fixture(scope="module")
def potential(archive) -> Potential:
    return Potential(archive)


@pytest.fixture(scope="module")
def data() -> list[Configuration]:
    """Crystals, slabs with fixed atoms, and molecules; ids whose order as texts is another one."""
    kinds = structures()
    found = []
    for k in range(COUNT):
        atoms = kinds[k % 3].copy()
        atoms.calc = kinds[k % 3].calc
        atoms.positions += 0.02 * np.random.default_rng(k).normal(size=atoms.positions.shape)
        configuration = Configuration.from_atoms(kinds[k % 3], source="made", index=k)
        positions = atoms.positions
        found.append(replace(configuration, positions=positions, sid=str(7 * k % COUNT), fid="3"))
    return found


@pytest.fixture(scope="module")
def lmdb(data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.lmdb"
    write_lmdb(data, path)
    return path


@pytest.fixture(scope="module")
def expected(potential, data) -> Predictions:
    """Each structure alone."""
    results = []
    for configuration in data:
        atoms = configuration.to_atoms()
        results.append(
            (configuration, potential.evaluate(atoms, virial=True, particle_energies=True))
        )
    return Predictions.of(results)


def assert_same(found: Predictions, expected: Predictions, only: Sequence[str] = ()) -> None:
    for name in only or ("energies", "forces", "stress", "particle_energies"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-10, err_msg=name
        )
    assert found.ids == expected.ids
    np.testing.assert_array_equal(found.fixed, expected.fixed)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_edges", [1, 1000, None])
def test_results_are_those_of_each_structure_alone(
    workers, batch_edges, potential, lmdb, expected, monkeypatch
) -> None:
    monkeypatch.setattr(predicting, "_CHUNK", 5)
    options = {"stress": True, "particle_energies": True}
    results = predict(potential, lmdb, workers=workers, batch_edges=batch_edges, **options)
    assert_same(Predictions.of(results), expected)


def test_ids_survive_shuffling_workers_and_ranks(potential, lmdb, expected, monkeypatch) -> None:
    monkeypatch.setattr(predicting, "_CHUNK", 3)
    order = np.random.default_rng(5).permutation(COUNT)
    shuffled = Selection(read(lmdb), order.tolist())
    parts = [
        Predictions.of(predict(potential, shuffled, stress=True, workers=2, ranks=Ranks(rank, 2)))
        for rank in range(2)
    ]
    assert [len(part) for part in parts] == [12, 12]
    both = Predictions.join(parts)
    assert sorted(both.ids) == sorted(expected.ids)
    back = both.take([both.ids.index(id) for id in expected.ids])
    assert_same(back, expected, ["energies", "forces", "stress"])


def test_data_of_all_kinds(archive, data, lmdb, expected) -> None:
    for source in (archive, str(archive)):
        for kind in (lmdb, [str(lmdb)], data, [c.to_atoms() for c in data]):
            energies = [e.energy for _, e in predict(source, kind, forces=False)]
            np.testing.assert_allclose(energies, expected.energies, rtol=1e-10)
    (_, evaluation), *_ = predict(archive, data, forces=False)
    assert evaluation.forces is None


def test_extxyz_has_labels_and_predictions(archive, data, expected, tmp_path) -> None:
    source = tmp_path / "data.extxyz"
    write_extxyz(data, source)
    output = tmp_path / "out" / "predictions.extxyz"
    arguments = [str(archive), str(source), "-o", str(output), "--stress", "--atom-energies"]
    assert cli.main(["predict", *arguments]) == 0
    names = [f"predicted_{name}" for name in ("energy", "forces", "stress", "atom_energies")]
    for k, (found, configuration) in enumerate(
        zip(read(output, Keys(targets=names)), data, strict=True)
    ):
        assert found.energy == configuration.energy and found.sid == configuration.sid
        np.testing.assert_array_equal(found.forces, configuration.forces)
        one = expected.take([k])
        values = one.energies[0], one.forces, one.stress[0], one.particle_energies
        for name, value in zip(names, values, strict=True):
            if np.isnan(value).any():
                assert name not in found.targets
            else:
                np.testing.assert_allclose(found.targets[name], value, rtol=1e-9, atol=1e-10)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_json_and_npz_by_command(archive, lmdb, expected, tmp_path) -> None:
    output = tmp_path / "predictions.json"
    assert cli.main(["predict", str(archive), str(lmdb), "-o", str(output)]) == 0
    found = json.loads(output.read_text())
    assert [entry["energy"] for entry in found] == pytest.approx(expected.energies.tolist())
    assert [len(entry["forces"]) for entry in found] == expected.counts.tolist()
    words = ["predict", str(archive), "-o", str(tmp_path / "is2re.npz"), "--task", "is2re"]
    words += ["--leaderboard", "2021", "--split", f"id={lmdb}", "--split", f"ood={lmdb}"]
    assert cli.main(words) == 0
    with np.load(tmp_path / "is2re.npz") as file:
        assert sorted(file) == ["id_energy", "id_ids", "ood_energy", "ood_ids"]
        assert file["ood_ids"].tolist() == sorted(expected.sids)
        order = np.argsort(expected.sids)
        np.testing.assert_allclose(file["id_energy"], expected.energies[order], rtol=1e-10)


def test_aselmdb_on_the_leaderboard_of_today(potential, data, expected, tmp_path) -> None:
    source, output = tmp_path / "data.aselmdb", tmp_path / "s2ef.npz"
    write_aselmdb(data, source)
    found = predict_to_file(potential, source, output)
    assert found.ids == expected.ids
    with np.load(output) as file:
        assert file["ids"].tolist() == expected.sids
        np.testing.assert_allclose(file["energy"], expected.energies, rtol=1e-10)
        np.testing.assert_allclose(file["forces"], expected.forces, rtol=1e-9, atol=1e-10)
        assert file["chunk_idx"].tolist() == np.cumsum(expected.counts)[:-1].tolist()


# --- Killed and continued ------------------------------------------------------------------------


def start(
    archive: Path, *words: str, program: tuple[str, str] = ("-m", "torchml"), **variables: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, "predict", str(archive), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def count_calls(monkeypatch, interrupted: int | None = None) -> list[int]:
    """The number of structures of each call of the model; one call, counted from 1, fails."""
    calls: list[int] = []
    original = ManyStructures.evaluate

    def counted(many, structures, **options):
        calls.append(len(structures))
        if len(calls) == interrupted:
            raise KeyboardInterrupt
        return original(many, structures, **options)

    monkeypatch.setattr(ManyStructures, "evaluate", counted)
    return calls


def test_a_killed_run_continues(archive, data, expected, tmp_path, monkeypatch) -> None:
    """SIGKILL in the middle; the second run computes what is missing, and nothing else.

    The first one writes each structure at once, so that it is far from the end when it is killed.
    """
    source, output = tmp_path / "data.lmdb", tmp_path / "s2ef.npz"
    many = [replace(c, sid=f"{c.sid}-{k}") for k in range(10) for c in data]
    write_lmdb(many, source)
    results = tmp_path / "s2ef.npz.work" / "rank-0.results"
    program = (
        "import sys; from torchml import cli; from torchml.evaluation import predicting;"
        "predicting._CHUNK, predicting._DURATION = 1, 0.0; sys.exit(cli.main(sys.argv[1:]))"
    )
    process = start(archive, str(source), "-o", str(output), program=("-c", program))
    while not (results.exists() and results.read_bytes().count(b"TMLR") > 1):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not output.exists()
    content = results.read_bytes()
    last = content.rindex(b"TMLR")
    results.write_bytes(content[: last + 100])  # and the last record is cut short
    records, _ = work_folder._read(results)
    done = sum(len(work_folder._places(record)) for record in records)
    calls = count_calls(monkeypatch)
    found = predict_to_file(archive, str(source), output)
    assert 0 < done < len(many) and sum(calls) == len(many) - done
    assert found.sids == [c.sid for c in many]
    np.testing.assert_allclose(found.energies, np.tile(expected.energies, 10), rtol=1e-9)
    with np.load(output) as file:
        assert file["ids"].tolist() == found.sids
        assert len(file["forces"]) == 10 * len(expected.forces)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.lmdb", "s2ef.npz"]


def test_two_processes_share_the_work(archive, lmdb, expected, tmp_path) -> None:
    output = tmp_path / "s2ef.npz"
    words = (str(lmdb), "-o", str(output), "--leaderboard", "2021", "--batch-edges", "300")
    ranks = [
        start(archive, *words, OMPI_COMM_WORLD_RANK=str(rank), OMPI_COMM_WORLD_SIZE="2")
        for rank in range(2)
    ]
    try:
        texts = [process.communicate(timeout=200) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], texts
    assert [text for text, _ in texts] == [f"{output}: predictions for {COUNT} structures\n", ""]
    with np.load(output) as file:
        assert file["ids"].tolist() == sorted(expected.ids)
        order = sorted(range(COUNT), key=expected.ids.__getitem__)
        energies = expected.energies[order].astype(np.float16)
        np.testing.assert_allclose(file["energy"], energies, rtol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_ranks_continue_what_one_began(archive, data, expected, tmp_path, monkeypatch) -> None:
    """Each structure once, although the number of ranks changed."""
    output = tmp_path / "out.json"
    monkeypatch.setattr(predicting, "_CHUNK", 1)
    monkeypatch.setattr(predicting, "_DURATION", 0.0)
    calls = count_calls(monkeypatch, interrupted=11)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(archive, data, output)
    found: dict[int, Predictions | None] = {}

    def work(rank: int) -> None:
        found[rank] = predict_to_file(archive, data, output, ranks=Ranks(rank, 2), workers=rank)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert sum(calls) == COUNT + 1 and found[1] is None
    assert_same(found[0], expected, ["energies", "forces"])


def test_another_model_data_set_or_option_is_not_continued(
    archive, data, tmp_path, monkeypatch
) -> None:
    output = tmp_path / "out.extxyz"
    other = tmp_path / "other.pt"
    torch.manual_seed(2)
    model = SchNet(["H", "C", "O", "Cu", "Pt", "Au"], cutoff=3.0, layers=2, features=4, gaussians=4)
    metadata.save(script(model, "edges"), other, describe(model, "edges"))
    count_calls(monkeypatch, interrupted=2)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(archive, data, output)
    for text, source, changed, options in (
        ("model", other, data, {}),
        ("data set", archive, data[1:], {}),
        ("choice of options", archive, data, {"stress": True}),
    ):
        with pytest.raises(FileError, match=f"holds results of another {text}, expected"):
            predict_to_file(source, changed, output, **options)
    assert len(predict_to_file(archive, data, output)) == COUNT


# --- Bad input -----------------------------------------------------------------------------------


@pytest.fixture
def forbidden(monkeypatch) -> None:
    """Nothing may be computed."""

    def evaluate(*arguments, **options):
        raise AssertionError("a structure was evaluated")

    monkeypatch.setattr(ManyStructures, "evaluate", evaluate)


def sentence(words: list[str], capsys) -> str:
    assert cli.main(["predict", *words]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("torchml predict: error: ") and shown.count("\n") == 1
    return shown


def test_an_unknown_element_is_named(archive, data, tmp_path, capsys) -> None:
    source = tmp_path / "data.extxyz"
    write_extxyz([*data[:3], replace(data[3], numbers=np.full(len(data[3]), 2))], source)
    shown = sentence([str(archive), str(source), "-o", str(tmp_path / "a.extxyz")], capsys)
    assert f"{source}, configuration 3: " in shown and "He" in shown


@pytest.mark.usefixtures("forbidden")
def test_an_output_that_cannot_be_written_is_found_before(archive, lmdb, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    for output, text in (
        (tmp_path / "file" / "a.npz", "file is a file, expected a folder for the output"),
        (tmp_path / "folder.npz", "folder.npz is a folder, expected the name of a file"),
        (tmp_path / "a.txt", "a.txt shows no format, expected the ending .extxyz"),
    ):
        assert text in sentence([str(archive), str(lmdb), "-o", str(output)], capsys)


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "a.json", "--split", "id=x"], "expected either DATA or --split"),
        (["-o", "a.npz", "--batch-edges", "0"], "--batch-edges is 0, expected 1 or more"),
        (
            ["-o", "a.json", "--prediction-dtype", "float32"],
            "a.json is json, expected npz",
        ),
        (
            ["-o", "a.extxyz", "--leaderboard", "2021"],
            "extxyz, expected npz for a lead",
        ),
        (["-o", "a.npz", "--stress"], "a.npz is npz, expected extxyz for stress"),
        (["-o", "a.npz", "--keys", "energie=x"], "--keys has 'energie=x'"),
    ],
)
def test_options_that_contradict(words, text, archive, lmdb, capsys) -> None:
    assert text in sentence([str(archive), str(lmdb), *words], capsys)


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize(
    ("split", "output", "text"),
    [
        ("id", "a.npz", "--split has 'id', expected NAME=DATA"),
        ("train={}", "a.npz", "the split 'train' is unknown, expected id, ood_ads"),
        ("id={}", "a.extxyz", "a.extxyz is extxyz, expected npz for several splits"),
    ],
)
def test_wrong_splits(split, output, text, archive, lmdb, capsys) -> None:
    words = [str(archive), "--split", split.format(lmdb), "-o", output]
    assert text in sentence(words, capsys)


@pytest.mark.usefixtures("forbidden")
def test_a_truncated_lmdb_is_one_sentence(archive, lmdb, tmp_path, capsys) -> None:
    short = tmp_path / "short.lmdb"
    short.write_bytes(lmdb.read_bytes()[:20000])
    shown = sentence([str(archive), str(short), "-o", str(tmp_path / "a.npz")], capsys)
    assert "short.lmdb" in shown and "cut short" in shown


def test_a_structure_without_an_id_is_named(archive, data, tmp_path, capsys) -> None:
    source = tmp_path / "data.extxyz"
    write_extxyz([data[0], replace(data[1], sid=None, fid=None)], source)
    shown = sentence([str(archive), str(source), "-o", str(tmp_path / "a.npz")], capsys)
    assert f"{source}, configuration 1 has no id" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["data.extxyz"], "no empty work folder"


def test_a_configuration_is_no_model(lmdb, tmp_path, capsys) -> None:
    settings = tmp_path / "silicon.yaml"
    settings.write_text("model: {}\n")
    shown = sentence([str(settings), str(lmdb), "-o", str(tmp_path / "a.npz")], capsys)
    assert f"{settings} is a file of settings, expected a model; a configuration" in shown


def test_a_model_of_totals_is_named_where_energies_of_atoms_are_requested(tmp_path, caplog) -> None:
    body = "    return (self.scale * coords.square().sum(1))[contributing == 0].sum()\n"
    portable.save_graph_model(body, tmp_path / "total.pt")
    facts = {"species": ["Si"], "cutoff": 4.0, "layers": 1, "convention": "graph"}
    total = Potential(tmp_path / "total.pt", **facts)
    silicon = [Configuration([14, 14], [[0, 0, 0], [0, 0, 2.3]])]
    predict_to_file(total, silicon, tmp_path / "a.extxyz", particle_energies=True)
    assert "total.pt returns the total energy alone: no energies of atoms" in caplog.text
    assert "predicted_forces" in (tmp_path / "a.extxyz").read_text()


def test_a_configuration_means_the_command_of_a_training(capsys) -> None:
    for words in (["--config", "absent.yaml"], ["--ckpt_path=best.ckpt"], ["-c", "absent.yaml"]):
        assert cli._is_training(["predict", *words])
    assert not cli._is_training(["predict", "model.pt", "data.lmdb"])
    with pytest.raises(SystemExit, match="0"):
        cli.main(["predict", "--help"])
    shown = capsys.readouterr().out
    assert "MODEL" in shown.upper() and "--batch-edges" in shown and "--config" in shown
    default = f"about {1000 * CALL_SECONDS:g} ms on a CPU, {MOST_EDGES_ON_GPU:,} on a GPU"
    assert default in " ".join(shown.split())
