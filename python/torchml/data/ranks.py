"""The rank that a launcher (torchrun, srun, mpirun) gave this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from torchml.errors import TorchMLError

# Variables of MPI launchers with the rank of a process and the number of ranks; the table of the
# engine is in driver/core/host.
MPI_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PALS_RANKID", "PALS_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
)
# Where the ranks of one node meet: the name of the machine may have no address.
ONE_NODE_ADDRESS = "127.0.0.1"
# srun sets the number of tasks of its step; that of the job is set in the batch script, too.
_VARIABLES = (("RANK", "WORLD_SIZE"), *MPI_VARIABLES, ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))


@dataclass(frozen=True)
class Ranks:
    """The rank of a process, from 0, and the number of ranks of its job."""

    rank: int = 0
    size: int = 1

    def share(self, total: int) -> range:
        """Return the items of this rank, among `total`: each belongs to one rank."""
        return range(self.rank, total, self.size)


def launched_rank(environment: Mapping[str, str] | None = None) -> Ranks:
    """Return the rank of this process, from the variables of its launcher.

    Args:
        environment: that of the process by default.

    Raises:
        TorchMLError: a variable is no number, or a rank is beyond the number of ranks.
    """
    environment = os.environ if environment is None else environment
    for rank, size in _VARIABLES:
        if rank in environment and size in environment:
            texts = environment[rank], environment[size]
            if not all(text.isdigit() for text in texts) or int(texts[0]) >= int(texts[1]):
                raise TorchMLError(
                    f"the environment has {rank}={texts[0]} and {size}={texts[1]}, expected a rank "
                    "below the number of ranks"
                )
            if int(texts[1]) > 1:
                return Ranks(int(texts[0]), int(texts[1]))
    return Ranks()


def device_of_rank(name: str) -> str:
    """Return the GPU of this rank for "cuda"; other names stay.

    The engine knows the ranks of MPI, but not those of torchrun.
    """
    local = os.environ.get("LOCAL_RANK")
    if name != "cuda" or local is None:
        return name
    import torch

    return f"cuda:{int(local) % max(torch.cuda.device_count(), 1)}"
