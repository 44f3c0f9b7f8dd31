"""Results of unfinished predictions: cut short, damaged, of other runs, and of other ranks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from torchml.data.ranks import Ranks, launched_rank
from torchml.errors import FileError, TorchMLError
from torchml.evaluation import Predictions, work_folder
from torchml.evaluation.work_folder import WorkFolder

RUN = {"model": "m", "data set": "d"}


def results(places) -> Predictions:
    """Of structures with one atom, whose energies are their places."""
    places = np.asarray(places)
    return Predictions(
        names=[f"data {k}" for k in places],
        sids=[str(k) for k in places],
        fids=[None] * len(places),
        counts=np.ones(len(places), dtype=np.int64),
        fixed=np.zeros(len(places), dtype=bool),
        energies=places.astype(float),
    )


def fill(output, *batches, rank=0, size=1) -> None:
    with WorkFolder(output, RUN, Ranks(rank, size)) as work:
        work.begin(10)
        for places in batches:
            work.append(places, results(places))


def test_results_are_in_order_and_once(tmp_path) -> None:
    output = tmp_path / "new" / "out.npz"
    fill(output, [4, 2], [9])
    fill(output, [1, 3], rank=1, size=2)
    with WorkFolder(output, RUN, Ranks()) as work:
        done = work.begin(10)
        assert np.flatnonzero(done).tolist() == [1, 2, 3, 4, 9]
        work.append([5, 4], results([5, 4]))
        found = work.results()
        assert found.energies.tolist() == [1, 2, 3, 4, 5, 9]
        assert found.sids == ["1", "2", "3", "4", "5", "9"]
        work.remove()
    assert not (tmp_path / "new" / "out.npz.work").exists()


def test_a_record_that_was_cut_short_is_computed_again(tmp_path, caplog) -> None:
    output = tmp_path / "out.npz"
    fill(output, [0, 1], [2, 3])
    file = tmp_path / "out.npz.work" / "rank-0.results"
    whole = file.read_bytes()
    first = whole.index(b"TMLR", 1)
    for end in (first + 1, first + 17, first + 40, len(whole) - 1):
        file.write_bytes(whole[:end])
        with WorkFolder(output, RUN, Ranks()) as work:
            assert np.flatnonzero(work.begin(10)).tolist() == [0, 1]
            work.append([2, 3], results([2, 3]))
        assert file.read_bytes() == whole
    assert caplog.text.count("not written completely") == 4


@pytest.mark.parametrize("place", ["head", "content"])
def test_a_damaged_record_is_one_sentence(place, tmp_path) -> None:
    output = tmp_path / "out.npz"
    fill(output, [0, 1], [2, 3])
    file = tmp_path / "out.npz.work" / "rank-0.results"
    content = bytearray(file.read_bytes())
    content[0 if place == "head" else 50] ^= 1
    file.write_bytes(content)
    with (
        WorkFolder(output, RUN, Ranks()) as work,
        pytest.raises(FileError, match=r"rank-0\.results is damaged at byte 0, expected"),
    ):
        work.begin(10)


@pytest.mark.parametrize("name", ["model", "data set"])
def test_another_run_is_one_sentence(name, tmp_path) -> None:
    output = tmp_path / "out.npz"
    fill(output, [0])
    other = WorkFolder(output, RUN | {name: "other"}, Ranks())
    with pytest.raises(FileError, match=rf"holds results of another {name}, expected"), other:
        pass
    fill(output, [1])  # the results are still there
    with WorkFolder(output, RUN, Ranks()) as work:
        assert work.begin(10).sum() == 2


def test_a_damaged_description_is_one_sentence(tmp_path) -> None:
    output = tmp_path / "out.npz"
    fill(output, [0])
    (tmp_path / "out.npz.work" / "run.json").write_text('{"model": ')
    with pytest.raises(FileError, match=r"run\.json is damaged"), WorkFolder(output, RUN, Ranks()):
        pass


def test_two_runs_at_once_are_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(work_folder, "_CONTENTION", 0.1)
    output = tmp_path / "out.npz"
    with (
        WorkFolder(output, RUN, Ranks()),
        pytest.raises(FileError, match="in use by another run"),
        WorkFolder(output, RUN, Ranks()),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").touch()
    for output, text in (
        (tmp_path / "file" / "out.npz", "file is a file, expected a folder for the output"),
        (Path("/proc/self/out.npz"), r"out\.npz\.work cannot be written: .*, expected a folder"),
    ):
        with pytest.raises(FileError, match=text), WorkFolder(output, RUN, Ranks()):
            pass


def test_a_rank_that_ends_early_is_one_sentence(tmp_path) -> None:
    output = tmp_path / "out.npz"
    with WorkFolder(output, RUN, Ranks(0, 2)) as work:
        work.begin(2)
        other = WorkFolder(output, RUN, Ranks(1, 2))
        other.__enter__()
        timer = threading.Timer(0.3, other.__exit__, (None, None, None))
        timer.start()
        with pytest.raises(FileError, match="rank 1 ended before its results were complete"):
            work.wait_for_all(2)
        timer.join()


def test_a_rank_that_never_starts_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(work_folder, "_PATIENCE", 0.2)
    output = tmp_path / "out.npz"
    with WorkFolder(output, RUN, Ranks(0, 2)) as work:
        work.begin(1)
        work.append([0], results([0]))
        with pytest.raises(FileError, match="rank 1 did not use"):
            work.wait_for_all(1)
    with WorkFolder(output, RUN, Ranks(1, 2)) as work:
        work.begin(1)
        with pytest.raises(FileError, match="rank 0 ended before it wrote"):
            work.wait_for_end()


LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_variables_of_launchers(launcher) -> None:
    rank, size = LAUNCHERS[launcher]
    assert launched_rank({rank: "2", size: "3"}) == Ranks(2, 3)
    assert list(Ranks(2, 3).share(9)) == [2, 5, 8]
    with pytest.raises(TorchMLError, match=f"{rank}=3 and {size}=3, expected a rank below"):
        launched_rank({rank: "3", size: "3"})


def test_without_a_launcher_there_is_one_rank() -> None:
    assert launched_rank({}) == Ranks(0, 1)
    # In the script of a job of Slurm, outside srun.
    assert launched_rank({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) == Ranks(0, 1)
