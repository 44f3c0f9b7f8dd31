"""Programs that keep running and answer lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from torchml.errors import TorchMLError


class Worker:
    """A Python program in a new process, possibly of another Python; it ends with its context.

    `greeting` is its first line.
    """

    def __init__(
        self,
        name: str,
        program: Path,
        arguments: Sequence[str],
        python: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        # Packages may need libraries beside those of their Python.
        libraries = [str(python.absolute().parents[1] / "lib"), os.getenv("LD_LIBRARY_PATH", "")]
        self._process = subprocess.Popen(
            [str(python), str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RAYON_NUM_THREADS": "1",
                "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
                **(environment or {}),
            },
        )
        try:
            self.greeting = self._answer()
        except TorchMLError:
            self.__exit__()
            raise

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send a request and return the answer; raises TorchMLError if the program ends instead."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its error output explains more
        return self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None and self._process.stderr is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries may print lines too
                answer: dict[str, Any] = json.loads(line)
                return answer
        lines = self._process.stderr.read().strip().splitlines()
        raise TorchMLError(
            f"{self.name} ended with {self._process.wait()}: {lines[-1] if lines else 'no message'}"
        )
