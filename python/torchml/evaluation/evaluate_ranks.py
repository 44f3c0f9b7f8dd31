"""The errors of all ranks, added up on the first."""

from __future__ import annotations

import os
from datetime import timedelta

from torchml.data.ranks import Ranks
from torchml.errors import TorchMLError
from torchml.evaluation.evaluate_summary import Summary


def merge_ranks(summary: Summary, ranks: Ranks) -> Summary | None:
    """Return the summary of all ranks on the first rank, None on the others.

    Args:
        summary: of this rank.
        ranks: which one it is, and how many there are.

    Raises:
        TorchMLError: ranks of mpirun or srun need mpi4py, which is missing or built for another
            MPI.
    """
    if ranks.size == 1:
        return summary
    parts = _by_torch(summary, ranks) if "MASTER_ADDR" in os.environ else _by_mpi(summary, ranks)
    if parts is None:
        return None
    first, *others = parts
    for other in others:
        first.merge(other)
    return first


def _by_torch(summary: Summary, ranks: Ranks) -> list[Summary] | None:
    """Through torch.distributed, whose address torchrun sets."""
    from torch import distributed

    # A rank waits for the slowest one.
    distributed.init_process_group("gloo", timeout=timedelta(days=30))
    try:
        parts: list[Summary] | None = [summary] * ranks.size if ranks.rank == 0 else None
        distributed.gather_object(summary, parts)
        return parts
    finally:
        distributed.destroy_process_group()


def _by_mpi(summary: Summary, ranks: Ranks) -> list[Summary] | None:
    try:
        from mpi4py import MPI
    except ImportError:
        raise TorchMLError(
            f"started with {ranks.size} ranks, which needs mpi4py: pip install 'mpi4py>=4.1'"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() != ranks.size:
        raise TorchMLError(
            f"{ranks.size} ranks were started, but mpi4py sees {world.Get_size()}: it was built "
            "for another MPI than that of the launcher"
        )
    parts: list[Summary] | None = world.gather(summary)
    return parts
