"""A progress bar for what turns out to take long, and nothing for what does not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 2.0  # s that anybody waits without wanting to know


class Progress:
    """`with Progress("reading x", total) as bar: bar.advance(n)`; shown after two seconds."""

    def __init__(self, description: str, total: float | None) -> None:
        from rich.progress import Progress as Bar

        self._bar = Bar(transient=True)
        self._task = self._bar.add_task(description, total=total)
        self._start = time.monotonic()
        self._shown = False

    def advance(self, amount: float = 1) -> None:
        self._bar.advance(self._task, amount)
        if not self._shown and time.monotonic() - self._start > PATIENCE:
            self._bar.start()
            self._shown = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._bar.stop()


def track(items: Iterable[T], description: str, total: float) -> Iterator[T]:
    """The same items, with a progress bar once they take longer than two seconds."""
    with Progress(description, total) as bar:
        for item in items:
            yield item
            bar.advance()
