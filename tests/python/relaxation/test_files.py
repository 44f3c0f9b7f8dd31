"""The files of a relaxation, and restarts."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.io import read

import torchml
from helpers import relax_slowly
from helpers.relaxing import metals, silicon
from torchml import DataError, FileError
from torchml.relaxation import Files


class CountedEMT(EMT):
    """EMT that counts its evaluations."""

    count = 0

    def calculate(self, *arguments, **keywords):
        self.count += 1
        super().calculate(*arguments, **keywords)


def lines(folder: Path) -> list[dict]:
    texts = [text for path in folder.glob("results_*.jsonl") for text in path.open()]
    return [json.loads(text) for text in texts]


def test_frames_of_a_trajectory_have_their_own_energies_and_forces(tmp_path):
    structures = metals(2)
    found = torchml.relax(structures, EMT(), output=tmp_path, files=Files(trajectories=1))
    for relaxed, start in zip(found, structures, strict=True):
        frames = read(tmp_path / "trajectories" / f"{relaxed.id}.traj", ":")
        assert len(frames) == relaxed.steps + 1
        np.testing.assert_array_equal(frames[0].positions, start.positions)
        np.testing.assert_array_equal(frames[-1].positions, relaxed.atoms.positions)
        for frame in frames:
            again = frame.copy()
            again.calc = EMT()
            assert frame.get_potential_energy() == pytest.approx(again.get_potential_energy())
            np.testing.assert_allclose(frame.get_forces(), again.get_forces(), atol=1e-12)
            assert len(frame.constraints) == 1


def test_every_third_step_the_first_and_the_last(tmp_path):
    (found,) = torchml.relax(
        metals(1), EMT(), output=tmp_path, files=Files(trajectories=3), steps=7, fmax=0
    )
    frames = read(tmp_path / "trajectories" / "slab0.traj", ":")
    energies = [frame.get_potential_energy() for frame in frames]
    assert energies == pytest.approx([found.energies[k] for k in (0, 3, 6, 7)])


def test_positions_in_the_files_of_ocp(tmp_path):
    structures = metals(11)[8:]  # slab8, slab9, slab10: texts are sorted as texts
    found = torchml.relax(structures, EMT(), output=tmp_path)
    by_id = {relaxed.id: relaxed.atoms.positions for relaxed in found}
    pairs = json.loads((tmp_path / "relaxed_pos_0.json").read_text())
    assert [id for id, _ in pairs] == list(by_id)
    for id, positions in pairs:
        np.testing.assert_array_equal(positions, by_id[id])
    archive = np.load(tmp_path / "relaxed_positions.npz")
    assert archive["ids"].tolist() == ["slab10", "slab8", "slab9"]
    parts = np.split(archive["pos"], archive["chunk_idx"])
    for id, positions in zip(archive["ids"], parts, strict=True):
        np.testing.assert_array_equal(positions, by_id[id])
    structures = torchml.data.read(tmp_path / "relaxed.extxyz")
    assert [c.sid for c in structures] == ["slab8", "slab9", "slab10"]
    for c, relaxed in zip(structures, found, strict=True):
        assert c.energy == relaxed.energy
        np.testing.assert_array_equal(c.positions, relaxed.atoms.positions)
        np.testing.assert_array_equal(np.flatnonzero(c.fixed), relaxed.atoms.constraints[0].index)


def test_a_restart_computes_what_is_missing_alone(tmp_path):
    structures = metals(4)
    calculator = CountedEMT()
    whole = torchml.relax(structures, calculator, output=tmp_path / "whole")
    journal = tmp_path / "whole" / "results_0.jsonl"
    content = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(content[:3]) + content[3][:100])  # killed while it wrote
    calculator.count = 0
    again = torchml.relax(structures, calculator, output=tmp_path / "whole")
    assert calculator.count == whole[3].steps + 1
    assert journal.read_bytes().splitlines(keepends=True)[:3] == content[:3]
    assert [record["id"] for record in lines(tmp_path / "whole")] == [r.id for r in whole]
    for one, two in zip(whole, again, strict=True):
        assert (one.id, one.state, one.energies) == (two.id, two.state, two.energies)
        np.testing.assert_array_equal(one.atoms.positions, two.atoms.positions)
        np.testing.assert_array_equal(one.atoms.get_forces(), two.atoms.get_forces())


def test_nothing_is_lost_or_doubled_after_a_kill(tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, relax_slowly.__file__, str(folder)]
    process = subprocess.Popen(command)
    journal = folder / "results_0.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal.read_bytes()
    assert before.count(b"\n") < 8 and not (folder / "relaxed_positions.npz").exists()
    complete = before[: before.rfind(b"\n") + 1]
    again = torchml.relax(
        metals(8), relax_slowly.SlowEMT(), output=folder,
        files=Files(trajectories=1, extxyz="both"),
    )  # fmt: skip
    assert journal.read_bytes().startswith(complete)
    assert [record["id"] for record in lines(folder)] == [f"slab{k}" for k in range(8)]
    expected = torchml.relax(metals(8), EMT())
    for one, two in zip(again, expected, strict=True):
        assert (one.id, one.energies) == (two.id, two.energies)
        frames = read(folder / "trajectories" / f"{one.id}.traj", ":")
        assert [frame.get_potential_energy() for frame in frames] == list(two.energies)
    for name, suffix in (("trajectories", "traj"), ("extxyz", "extxyz")):
        assert {path.name for path in (folder / name).iterdir()} == {
            f"slab{k}.{suffix}" for k in range(8)
        }


def test_ranks_share_the_structures(tmp_path, monkeypatch):
    structures = metals(5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, expected in (("1", ["slab1", "slab3"]), ("0", ["slab0", "slab2", "slab4"])):
        monkeypatch.setenv("RANK", rank)
        assert not (tmp_path / "relaxed_positions.npz").exists()
        found = torchml.relax(structures, CountedEMT(), output=tmp_path)
        assert [relaxed.id for relaxed in found] == expected
        pairs = json.loads((tmp_path / f"relaxed_pos_{rank}.json").read_text())
        assert [id for id, _ in pairs] == expected
    ids = np.load(tmp_path / "relaxed_positions.npz")["ids"].tolist()
    assert ids == [f"slab{k}" for k in range(5)]
    assert len(torchml.data.read(tmp_path / "relaxed.extxyz")) == 5
    # One rank finds the results of two.
    monkeypatch.delenv("WORLD_SIZE")
    calculator = CountedEMT()
    again = torchml.relax(structures, calculator, output=tmp_path)
    assert calculator.count == 0 and len(again) == 5
    assert sorted(record["id"] for record in lines(tmp_path)) == ids


def test_a_structure_that_explodes_does_not_stop_the_others(tmp_path):
    class Exploding(EMT):
        bad = True

        def calculate(self, atoms=None, *arguments, **keywords):
            super().calculate(atoms, *arguments, **keywords)
            if atoms.info["sid"] == "slab1" and self.bad and atoms.info["calls"] > 2:
                self.results["forces"] = self.results["forces"] * np.nan
            atoms.info["calls"] += 1

    structures = metals(3)
    for atoms in structures:
        atoms.info["calls"] = 0
    calculator = Exploding()
    found = torchml.relax(structures, calculator, output=tmp_path)
    assert [relaxed.state for relaxed in found] == ["converged", "failed", "converged"]
    assert "after 2 steps" in found[1].reason and "expected finite values" in found[1].reason
    assert len(found[1].energies) == 3 and np.isfinite(found[1].atoms.positions).all()
    assert np.load(tmp_path / "relaxed_positions.npz")["ids"].tolist() == ["slab0", "slab2"]
    # A restart tries it again, and it only.
    calculator.bad = False
    again = torchml.relax(structures, calculator, output=tmp_path)
    assert [relaxed.state for relaxed in again] == ["converged"] * 3
    assert len(lines(tmp_path)) == 4
    assert len(json.loads((tmp_path / "relaxed_pos_0.json").read_text())) == 3


def test_an_element_unknown_to_a_calculator_fails_alone():
    structures = metals(2)
    structures[0].numbers[-1] = 92
    found = torchml.relax(structures, EMT())
    assert [relaxed.state for relaxed in found] == ["failed", "converged"]
    assert found[0].reason == "NotImplementedError: No EMT-potential for U"


def test_results_of_other_settings_or_structures_are_not_mixed(tmp_path):
    structures = metals(2)
    torchml.relax(structures, EMT(), output=tmp_path, fmax=0.05)
    with pytest.raises(DataError, match=r"results with fmax 0.05, but fmax is 0.02 now"):
        torchml.relax(structures, EMT(), output=tmp_path)
    structures[1].positions[0] += 0.01
    with pytest.raises(DataError, match="the structure 'slab1' is another one than the result"):
        torchml.relax(structures, EMT(), output=tmp_path, fmax=0.05)


def test_damaged_results_are_named(tmp_path):
    structures = metals(2)
    torchml.relax(structures, EMT(), output=tmp_path)
    journal = tmp_path / "results_0.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[20:])
    with pytest.raises(FileError, match=r"results_0.jsonl, line 1 is no complete result"):
        torchml.relax(structures, EMT(), output=tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(FileError, match=r"settings\.json is damaged"):
        torchml.relax(structures, EMT(), output=tmp_path)


def test_ids_become_names_of_files(tmp_path):
    torchml.relax(
        metals(2), EMT(), ids=["../a b", ".c"], output=tmp_path, files=Files(trajectories=1)
    )
    names = sorted(path.name for path in (tmp_path / "trajectories").iterdir())
    assert names == ["%2E.%2Fa b.traj", "%2Ec.traj"]


def test_long_ids_become_short_and_different_names_of_files(tmp_path):
    ids = ["å" * 200 + end for end in "ab"]
    options = {"ids": ids, "output": tmp_path, "files": Files(trajectories=1, extxyz="each")}
    results = torchml.relax(metals(2), EMT(), **options)
    assert [result.id for result in results] == ids
    for folder in ("trajectories", "extxyz"):
        names = [path.name for path in (tmp_path / folder).iterdir()]
        assert len(names) == 2
        assert all(name.startswith("%C3%A5") and len(name) < 220 for name in names)


def test_ids_must_differ_and_structures_exist():
    with pytest.raises(DataError, match="2 structures have the id 'a', expected a different one"):
        torchml.relax(metals(2), EMT(), ids=["a", "a"])
    with pytest.raises(DataError, match="there are no structures to relax"):
        torchml.relax([], EMT())
    with pytest.raises(DataError, match=r"one structure was given \(Atoms\), expected a list"):
        torchml.relax(metals(1)[0], EMT())
    frames = metals(1) * 2
    frames[1] = frames[1].copy()
    for k, atoms in enumerate(frames):
        atoms.info["fid"] = k
    found = torchml.relax(frames, EMT(), steps=0)
    assert [relaxed.id for relaxed in found] == ["slab0_0", "slab0_1"]


def test_another_constraint_is_an_error():
    from ase.constraints import FixedPlane

    structures = metals(1)
    structures[0].set_constraint(FixedPlane(0, (0, 0, 1)))
    with pytest.raises(DataError, match="structure 'slab0': a structure has the constraint FixedP"):
        torchml.relax(structures, EMT())


def test_two_processes_do_not_write_into_one_folder(tmp_path):
    from torchml.relaxation.journal import Journal, journal_path

    journal = Journal(journal_path(tmp_path, 0))
    with pytest.raises(FileError, match="is in use by another process"):
        torchml.relax(metals(1), EMT(), output=tmp_path)
    journal.close()


def test_files_of_a_running_process_are_left_alone(tmp_path):
    """What a killed process left is removed, what another one writes is not."""
    from torchml.relaxation.journal import Journal, journal_path

    temporary = tmp_path / "trajectories" / ".slab0.traj.abcdefgh"
    temporary.mkdir(parents=True)
    journal = Journal(journal_path(tmp_path, 0))
    with pytest.raises(FileError, match="is in use by another process"):
        torchml.relax(metals(1), EMT(), output=tmp_path)
    assert temporary.exists()
    journal.close()
    torchml.relax(metals(1), EMT(), output=tmp_path)
    assert not temporary.exists()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    for path in ("out", "out/run1"):
        with pytest.raises(FileError, match="is a file, expected a folder for results"):
            torchml.relax(metals(1), EMT(), output=tmp_path / path)


def test_another_content_of_the_model_is_noticed(example, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(example("sw", "edges").folder, folder)
    structures = silicon(1)
    torchml.relax(structures, folder, output=tmp_path / "out", steps=1)
    torchml.relax(structures, folder, output=tmp_path / "out", steps=1)
    (parameters,) = folder.glob("*.param")
    parameters.write_text(parameters.read_text() + "\n")
    with pytest.raises(DataError, match=r"results of .*model with other contents, expected the"):
        torchml.relax(structures, folder, output=tmp_path / "out", steps=1)


def test_ids_and_what_data_sets_add_stay_with_the_structures(tmp_path):
    structures = metals(1) * 2
    structures[1] = structures[0].copy()
    for k, atoms in enumerate(structures):
        atoms.info |= {"fid": k, "group": "slabs", "charge": np.float64(k)}
    torchml.relax(structures, EMT(), output=tmp_path / "own", steps=1)
    found = torchml.data.read(tmp_path / "own" / "relaxed.extxyz")
    assert [(c.sid, c.fid) for c in found] == [("slab0", "0"), ("slab0", "1")]
    assert [(c.group, c.info["charge"]) for c in found] == [("slabs", 0), ("slabs", 1)]
    torchml.relax(structures, EMT(), output=tmp_path / "given", ids=["a", "b"], steps=1)
    found = torchml.data.read(tmp_path / "given" / "relaxed.extxyz")
    assert [(c.sid, c.fid) for c in found] == [("a", None), ("b", None)]
