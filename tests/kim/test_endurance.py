"""Models that are created and destroyed many times, and several at once."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import portable
from torchml.validation.kim_client import KimModel

PAGE = 4096 / 2**20  # MiB


@pytest.fixture
def names(installed):
    return [installed("schnet", "edges").name, installed("sw", "graph").name]


def resident() -> float:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_models_that_end_leave_no_memory(names):
    """A model of SchNet takes 2.5 MiB."""
    atoms = portable.silicon()
    sizes, energies = [], set()
    gc.collect()
    gc.freeze()  # later collections look at new objects alone
    try:
        for _ in range(40):
            energies.add(KimModel(names[0]).evaluate(atoms).energy)
            gc.collect()
            sizes.append(resident())
    finally:
        gc.unfreeze()
    assert len(energies) == 1
    assert sizes[-1] - sizes[9] < 8


def test_eight_threads_with_a_model_each(names):
    """Each creates its model, evaluates other atoms than the others, and destroys it."""

    def work(number: int) -> list[float]:
        model = KimModel(names[number % 2])
        atoms = portable.silicon(seed=number // 2)
        return [model.evaluate(atoms).energy for _ in range(6)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert found == [work(number) for number in range(8)]
    assert len({energy for energies in found for energy in energies}) == 8
