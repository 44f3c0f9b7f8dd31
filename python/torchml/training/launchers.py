"""Ranks that a launcher started: mpirun, srun or torchrun."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from torchml.data.ranks import MPI_VARIABLES, ONE_NODE_ADDRESS
from torchml.errors import TorchMLError

# Variables with the number of ranks of an MPI job (Slurm: see below).
MPI_SIZES = tuple(size for _, size in MPI_VARIABLES)


@dataclass(frozen=True)
class Ranks:
    """Number of ranks on each node, and number of nodes."""

    per_node: int
    nodes: int


def launched_ranks() -> Ranks | None:
    """Return the ranks that a launcher started, None if this process is the only one.

    Lightning finds its own rank, but not the number of ranks: without it, each process would train
    a model of its own.

    Raises:
        TorchMLError: nodes have different numbers of ranks, or mpi4py is missing or built for
            another MPI.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        return _even(int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"]))
    if SLURMEnvironment.detect():
        ranks = int(environment["SLURM_NTASKS"])
        nodes = int(environment.get("SLURM_NNODES", environment.get("SLURM_JOB_NUM_NODES", 1)))
        return _even(ranks, ranks // nodes) if ranks > 1 else None
    ranks = max((int(environment.get(name, 1)) for name in MPI_SIZES), default=1)
    if ranks == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise TorchMLError(
            f"started by mpirun with {ranks} ranks, which needs mpi4py: pip install 'mpi4py>=4.1'"
        ) from None
    world = MPI.COMM_WORLD
    if world.Get_size() != ranks:
        raise TorchMLError(
            f"mpirun started {ranks} ranks, but mpi4py sees {world.Get_size()}: it was built for "
            "another MPI than the one of mpirun"
        )
    per_node = world.Split_type(MPI.COMM_TYPE_SHARED).Get_size()
    return _even(ranks, world.allreduce(per_node, MPI.MAX))


class _OneNode(MPIEnvironment):
    """Ranks of mpirun on one node; by Lightning's choice they meet at its name."""

    @property
    def main_address(self) -> str:
        return ONE_NODE_ADDRESS


def cluster_environment() -> ClusterEnvironment | None:
    """Return Lightning's environment where its own choice is wrong, else None.

    To detect one, Lightning starts MPI in each process that can import mpi4py; programs that such a
    process starts by mpirun afterwards would join that MPI job, and fail.
    """
    ranks = launched_ranks()
    if ranks is None:
        return None if LSFEnvironment.detect() else LightningEnvironment()
    before_mpi = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment)
    by_mpirun = not any(environment.detect() for environment in before_mpi)
    return _OneNode() if by_mpirun and ranks.nodes == 1 else None


def _even(ranks: int, per_node: int) -> Ranks:
    if ranks % per_node:
        raise TorchMLError(
            f"{ranks} ranks were started with up to {per_node} on a node, expected equally many on "
            "each"
        )
    return Ranks(per_node, ranks // per_node)
