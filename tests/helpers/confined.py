"""Calls in processes of their own, with little memory and time: a crash is seen, not shared."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from torchml import TorchMLError

MEMORY = 600 << 20  # bytes that a call may take
SECONDS = 20

# Forked from a process that has imported all and run nothing: no threads are lost.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["helpers.confined", "torchml.importers.checkpoint"])


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """The message of the TorchMLError that a call raises; "" where it raises none.

    Fails where the call ends its process, raises something else, or takes too much.
    """
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_confined, args=(there, call, arguments))
    process.start()
    there.close()
    try:
        kind, text = here.recv()
    except EOFError:
        kind, text = "crash", "it sent nothing"
    process.join()
    assert process.exitcode == 0, f"{arguments}: ended by {process.exitcode}"
    assert kind == "done", f"{arguments}: {text}"
    return str(text)


def _confined(result: Connection, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.alarm(SECONDS)
    try:
        call(*arguments)
    except TorchMLError as error:
        result.send(("done", str(error)))
    except BaseException:
        result.send(("other", traceback.format_exc()))
    else:
        result.send(("done", ""))


def open_potential(path: Path) -> None:
    from torchml import Potential

    Potential(path)


def load_model(path: Path) -> None:
    from torchml.importers.opening import load

    load(path)


def read_metadata(path: Path) -> None:
    from torchml import _core

    _core.read_metadata(str(path))


def import_model(path: Path, adapter: str) -> None:
    from torchml.importers.opening import Foreign, load

    load(path, foreign=Foreign(adapter))


def read_all(path: Path) -> None:
    from torchml.data import read

    for _ in read(path):
        pass
