"""Numbers that stay float64 in models of float32."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor


class Exact(torch.nn.Module):
    """A module whose buffers move to another device, but do not change their float type."""

    @torch.jit.unused
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in exact.items():
            moved = self._buffers[name]
            assert value is not None and moved is not None
            self._buffers[name] = value.to(moved.device)
        return self
