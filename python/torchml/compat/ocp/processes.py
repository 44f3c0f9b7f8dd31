"""The processes of `--distributed`: one for each rank, and one name for the folders of all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from torchml.compat.ocp.flags import Flags
from torchml.compat.ocp.folders import new_folders
from torchml.data.ranks import ONE_NODE_ADDRESS, launched_rank
from torchml.errors import TorchMLError

NAME = "TORCHML_OCP_NAME"
"""Variable with the name of the folders, for the ranks that `launch` starts."""

_POLL = 0.1  # seconds
_PATIENCE = 60.0  # seconds in which rank 0 of torchrun gives the name


def needs_launch(flags: Flags) -> bool:
    """Whether this process must start the ranks, as no launcher has.

    Raises:
        TorchMLError: several nodes without a launcher.
    """
    if flags.all_ranks == 1 or launched_rank().size > 1:
        return False
    if flags.num_nodes > 1:
        raise TorchMLError(
            f"--num-nodes {flags.num_nodes} needs --submit, or torchrun or srun on all nodes"
        )
    return True


def launch(words: Sequence[str], flags: Flags, name: str) -> int:
    """Start one process for each rank, wait for them, and return their exit status.

    Args:
        words: the command line.
        flags: the same, parsed.
        name: of the folders.
    """
    port = flags.distributed_port or _free_port()
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as scratch:
        errors = [Path(scratch) / str(rank) for rank in range(flags.ranks)]
        try:
            for rank, path in enumerate(errors):
                processes.append(_start(words, rank, flags.ranks, port, name, path))
            return _wait(processes, errors)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
                    process.wait()


def shared_name(flags: Flags) -> str | None:
    """Return the name of the folders that this rank shares with others; None without others.

    Raises:
        TorchMLError: ranks of this launcher cannot agree on a name.
    """
    rank = launched_rank()
    if flags.timestamp_id is not None or rank.size == 1:
        return flags.timestamp_id
    if NAME in os.environ:
        return os.environ[NAME]
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise TorchMLError(
            f"{rank.size} ranks may start in different seconds, expected --timestamp-id NAME, one "
            "name for the folders of all"
        )
    return _name_from_store(flags, rank.rank)


def _name_from_store(flags: Flags, rank: int) -> str:
    """The name that rank 0 puts into the store of torchrun."""
    from datetime import timedelta

    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=_PATIENCE))
    key = f"{NAME}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    if rank == 0:
        store.set(key, new_folders(Path(flags.run_dir), flags.identifier).name)
    return str(store.get(key).decode())


def _start(
    words: Sequence[str], rank: int, ranks: int, port: int, name: str, errors: Path
) -> subprocess.Popen[bytes]:
    """Start a rank; what ranks other than 0 say on stderr goes to a file."""
    environment = os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": ONE_NODE_ADDRESS,
        "MASTER_PORT": str(port),
        NAME: name,
    }
    command = [sys.executable, "-m", "torchml.compat.ocp", *words]
    with errors.open("wb") as file:
        return subprocess.Popen(command, env=environment, stderr=file if rank else None)


def _wait(processes: Sequence[subprocess.Popen[bytes]], errors: Sequence[Path]) -> int:
    """Wait until all have ended well, or one has not; that one is named, unless it is rank 0."""
    while True:
        states = [process.poll() for process in processes]
        failed = [rank for rank, state in enumerate(states) if state not in (None, 0)]
        if not failed and None not in states:
            return 0
        if failed:
            time.sleep(1.0)  # rank 0 may be about to say the same
            if processes[0].poll() in (None, 0):
                text = errors[failed[0]].read_text(errors="replace")
                sys.stderr.write(f"rank {failed[0]}: {text}")
            return states[failed[0]] or 1
        time.sleep(_POLL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ONE_NODE_ADDRESS, 0))
        return int(probe.getsockname()[1])
