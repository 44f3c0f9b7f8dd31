"""Which configurations make up which batch, on which rank."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler


class Batches(DistributedSampler[list[int]]):
    """Batches of indices, the same number of batches on each rank.

    A step of all ranks together is drawn first and then dealt to the ranks, large configurations
    first and each to the rank with the least work (greedy scheduling, Graham 1969). The
    configurations of a step thus depend on its size (`batch_size` times the number of ranks) alone:
    two ranks with batches of 4 take the same steps as one rank with batches of 8.

    With `by_size`, `batch_size` counts units of `sizes` (atoms or edges): the number of batches is
    what all of them fill, and configurations are distributed so that the batches are even.
    A rank without a configuration in a step gets one of another rank as padding: its batch holds
    negative numbers (-1 - index), which do not count.

    It is a DistributedSampler so that Lightning does not add one.

    Args:
        sizes: how much work each configuration is, [n].
        batch_size: configurations (or units of size) per batch and rank.
        by_size: even batches by size instead of by number.
        shuffle: another order in each epoch.
        fixed: the same batches in each epoch; only their order changes.
    """

    def __init__(
        self,
        sizes: NDArray[Any],
        batch_size: int,
        *,
        by_size: bool = False,
        shuffle: bool = False,
        fixed: bool = False,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        nothing: Any = sizes  # only its length matters
        super().__init__(nothing, num_replicas=ranks, rank=rank, seed=seed)
        self.sizes = np.asarray(sizes, dtype=np.float64)
        self.batch_size = batch_size
        self.by_size = by_size
        self.shuffle = shuffle
        self.fixed = fixed
        self.start = 0

    def __len__(self) -> int:
        step = self.batch_size * self.num_replicas
        amount = self.sizes.sum() if self.by_size else len(self.sizes)
        return min(max(1, int(np.ceil(amount / step))), len(self.sizes))

    def __iter__(self) -> Iterator[list[int]]:
        # Only this once: the next epoch begins at its beginning.
        start, self.start = self.start, 0
        yield from self.epoch_batches(self.epoch)[start:]

    def epoch_batches(self, epoch: int) -> list[list[int]]:
        """Return the batches of this rank in an epoch, in their order."""
        generator = np.random.default_rng([self.seed, 0 if self.fixed else epoch])
        order = np.arange(len(self.sizes))
        if self.shuffle:
            generator.shuffle(order)
        steps = self._even(order) if self.by_size else self._consecutive(order)
        batches = [self._mine(step) for step in steps]
        if self.shuffle and (self.by_size or self.fixed):
            # Even batches are sorted by size, and fixed ones change their order at least.
            moves = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
            batches = [batches[k] for k in moves]
        return batches

    def _consecutive(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        size = self.batch_size * self.num_replicas
        return [order[k : k + size] for k in range(0, len(order), size)]

    def _even(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Parts of about equal size, one per batch: the largest first, to the emptiest part."""
        return [np.array(part) for part in _deal(order, self.sizes, len(self))]

    def _mine(self, step: NDArray[np.int64]) -> list[int]:
        if self.num_replicas == 1:
            return [int(index) for index in step]
        limit = None if self.by_size else int(np.ceil(len(step) / self.num_replicas))
        mine = _deal(step, self.sizes, self.num_replicas, limit)[self.rank]
        return mine or [-1 - int(step[0])]


class RepeatedBatches(Batches, SequentialSampler):  # type: ignore[misc]
    """The first batches, in each epoch the same ones (`trainer.overfit_batches`).

    It is a SequentialSampler, because Lightning replaces any other one in such a training.
    """


class ResumableLoader(DataLoader[Any]):
    """A loader that resumes in the middle of an epoch.

    Lightning saves its state in checkpoints, and restores it before it resumes.
    """

    delivered = 0
    limit: int | None = None
    """Number of batches of an epoch, if it is not all of them (`trainer.limit_train_batches`)."""

    def __iter__(self) -> Any:
        assert isinstance(self.sampler, Batches)
        self.delivered = self.sampler.start
        for batch in super().__iter__():
            self.delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of its batches that were delivered, and of all of them."""
        assert isinstance(self.sampler, Batches)
        return {
            "epoch": self.sampler.epoch,
            "delivered": self.delivered,
            "batches": len(self.sampler) if self.limit is None else self.limit,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batches that were delivered; at the end of an epoch, with the next."""
        assert isinstance(self.sampler, Batches)
        delivered = state["delivered"]
        # Earlier versions did not store the number of batches, which a resumed run may change.
        self.sampler.start = delivered % state.get("batches", len(self.sampler))
        self.sampler.set_epoch(state["epoch"])


def _deal(
    order: NDArray[np.int64], sizes: NDArray[np.float64], parts: int, limit: int | None = None
) -> list[list[int]]:
    """Deal what is in `order` to `parts`, the largest first, each to the part with least so far.

    No part gets more than `limit` of them.
    """
    heap = [(0.0, part) for part in range(parts)]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    for index in order[np.argsort(-sizes[order], kind="stable")]:
        load, part = heapq.heappop(heap)
        dealt[part].append(int(index))
        if limit is None or len(dealt[part]) < limit:
            heapq.heappush(heap, (load + float(sizes[index]), part))
    return dealt
