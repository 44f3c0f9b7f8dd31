"""Trainings side by side, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from torchml.errors import TorchMLError

_ERROR = "torchml fit: error: "


@dataclass(frozen=True)
class SideBySide:
    """Runs commands `torchml fit`.

    Attributes:
        at_once: how many run at the same time.
        threads: of each process.
    """

    at_once: int
    threads: int

    def lines(self, trainings: Mapping[str, Sequence[str]]) -> Generator[tuple[str, str]]:
        """Carry out commands, and yield what they print.

        If one fails, or the caller closes the generator, the others are ended; they can be resumed.

        Args:
            trainings: the words of each command, by the name of the training.

        Returns:
            Names, and lines that the training of that name printed.

        Raises:
            TorchMLError: one sentence, of the first that failed, behind its name.
        """
        waiting = list(trainings.items())
        running: dict[str, subprocess.Popen[str]] = {}
        printed: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
        errors: dict[str, str] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    name, words = waiting.pop(0)
                    running[name] = self._start(words)
                    Thread(target=_read, args=(name, running[name], printed), daemon=True).start()
                name, line = printed.get()
                if line is None:
                    _check(name, running.pop(name), errors.get(name))
                elif line.startswith(_ERROR):
                    errors[name] = line.removeprefix(_ERROR)
                else:
                    yield name, line
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()

    def _start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = min(self.threads, int(given)) if given.isdigit() else self.threads
        paths = [os.path.abspath(path) for path in sys.path]  # modules that a class_path may name
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(
            [sys.executable, "-m", "torchml", *words],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _read(
    name: str, process: subprocess.Popen[str], printed: SimpleQueue[tuple[str, str | None]]
) -> None:
    """Pass on the lines of a process, and None after its last one."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            printed.put((name, line.rstrip()))
    printed.put((name, None))


def _check(name: str, process: subprocess.Popen[str], error: str | None) -> None:
    if process.wait() != 0:
        reason = error or f"the training ended with exit status {process.returncode}"
        raise TorchMLError(f"{name}: {reason}")
