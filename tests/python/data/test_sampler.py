"""Batches: everything once, the same steps on any number of ranks, even sizes, resumable."""

from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import Dataset

from torchml.data.sampler import Batches, ResumableLoader

SIZES = np.random.default_rng(0).integers(1, 100, 53).astype(float)


def flat(batches):
    return [one for batch in batches for one in batch]


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 300, "by_size": True}])
@pytest.mark.parametrize("fixed", [False, True])
def test_every_configuration_comes_once_in_an_epoch(options, fixed):
    batches = Batches(SIZES, shuffle=True, fixed=fixed, **options)
    for epoch in range(3):
        found = batches.epoch_batches(epoch)
        assert len(found) == len(batches)
        assert sorted(flat(found)) == list(range(len(SIZES)))


@pytest.mark.parametrize("by_size", [False, True])
def test_two_ranks_take_the_steps_of_one_rank(by_size):
    size = 300 if by_size else 6
    one = Batches(SIZES, 2 * size, by_size=by_size, shuffle=True)
    two = [
        Batches(SIZES, size, by_size=by_size, shuffle=True, rank=rank, ranks=2) for rank in (0, 1)
    ]
    assert len(one) == len(two[0]) == len(two[1])
    for whole, left, right in zip(*(b.epoch_batches(5) for b in (one, *two)), strict=True):
        assert sorted(whole) == sorted(k for k in left + right if k >= 0)


def test_a_rank_without_a_configuration_gets_one_that_does_not_count():
    ranks = [Batches(np.ones(5), 2, rank=rank, ranks=2) for rank in (0, 1)]
    left, right = (batches.epoch_batches(0) for batches in ranks)
    assert [len(batch) for batch in left] == [len(batch) for batch in right][::1] == [2, 1]
    assert (left[1], right[1]) == ([4], [-5])


def test_ranks_share_the_work_of_a_step():
    ranks = [Batches(SIZES, 8, shuffle=True, rank=rank, ranks=2) for rank in (0, 1)]
    for left, right in list(zip(*(b.epoch_batches(0) for b in ranks), strict=True))[:-1]:
        assert len(left) == len(right) == 8
        work = [SIZES[batch].sum() for batch in (left, right)]
        assert abs(work[0] - work[1]) <= SIZES[left + right].max()


def test_batches_by_size_are_even():
    batches = Batches(SIZES, 300, by_size=True, shuffle=True)
    work = [SIZES[batch].sum() for batch in batches.epoch_batches(0)]
    assert max(work) - min(work) <= SIZES.max() and max(work) < 1.5 * 300
    assert batches.epoch_batches(0) != batches.epoch_batches(1)


def test_one_large_configuration_is_a_batch_of_its_own():
    sizes = np.array([1.0, 1000.0, 1.0, 1.0])
    found = Batches(sizes, 10, by_size=True).epoch_batches(0)
    assert [1] in found and sorted(flat(found)) == [0, 1, 2, 3]


def test_fixed_batches_only_change_places():
    batches = Batches(SIZES, 4, shuffle=True, fixed=True)
    first, second = (batches.epoch_batches(epoch) for epoch in (0, 1))
    assert first != second and sorted(first) == sorted(second)


def test_without_shuffling_the_order_is_that_of_the_data():
    assert flat(Batches(SIZES, 4).epoch_batches(7)) == list(range(len(SIZES)))


class Echo(Dataset):
    def __getitem__(self, indices):
        return indices


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_where_another_stopped(workers):
    def loader():
        batches = Batches(SIZES, 4, shuffle=True, seed=3)
        return ResumableLoader(Echo(), sampler=batches, batch_size=None, num_workers=workers)

    whole = loader()
    whole.sampler.set_epoch(2)
    expected = list(whole)
    whole.sampler.set_epoch(3)
    following = list(whole)

    stopped = loader()
    stopped.sampler.set_epoch(2)
    some = iter(stopped)
    seen = [next(some) for _ in range(5)]
    state = stopped.state_dict()

    resumed = loader()
    resumed.load_state_dict(state)
    assert seen + list(resumed) == expected
    resumed.sampler.set_epoch(3)
    assert list(resumed) == following
