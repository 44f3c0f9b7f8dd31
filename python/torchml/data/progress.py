"""A progress bar for work that takes longer than two seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")

PATIENCE = 2.0  # s before a bar is shown


class Progress:
    """`with Progress("reading x", total) as bar: bar.advance(n)`; shown after two seconds.

    Only on terminals, on the first rank of a machine, and one at a time: while a bar is shown,
    others are not. `total` may be None if it is not known.
    """

    _shown: ClassVar[Bar | None] = None

    def __init__(self, description: str, total: float | None) -> None:
        self._description = description
        self._total = total
        self._done = 0.0
        self._bar: Bar | None = None
        self._start = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if self._bar is None and time.monotonic() - self._start > PATIENCE:
            self._show()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _show(self) -> None:
        from rich.console import Console
        from rich.errors import LiveError
        from rich.progress import Progress as Bar

        self._start = time.monotonic()  # if there is no room for it now, look again later
        console = Console(stderr=True)
        if Progress._shown or not console.is_terminal or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        bar = Bar(console=console, transient=True)
        bar.add_task(self._description, total=self._total)
        try:
            bar.start()
        except LiveError:  # another program part draws on the terminal
            return
        self._bar = Progress._shown = bar

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = Progress._shown = None


def track(items: Iterable[T], description: str, total: float) -> Iterator[T]:
    """Yield the items, with a progress bar after two seconds."""
    with Progress(description, total) as bar:
        for item in items:
            yield item
            bar.advance()
