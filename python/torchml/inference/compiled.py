"""Compiled archives (`.pt2`) in Python: energy and derivative as machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import torchml._core as core
from torchml.contract import metadata
from torchml.contract.compiled_inputs import arguments_of
from torchml.contract.signature import SHELL_COUNTS
from torchml.errors import TorchMLError

SUFFIX = ".pt2"

# The models in an archive: for one thread and for several; a GPU has the first alone.
SERIAL, PARALLEL = "serial", "parallel"


class Compiled:
    """A compiled model in Python: called as `forward` was, it returns (energy, derivative)."""

    def __init__(self, path: str | Path) -> None:
        from torch.export.pt2_archive._package import load_pt2

        facts = metadata.read(path)
        if facts is None or facts.inputs is None:
            raise TorchMLError(f"{path} is no archive that `compile_archive` wrote")
        core.require_fit(str(path), facts.device or "cpu")
        self.facts = facts
        self._loaded = load_pt2(str(path)).aoti_runners

    def __call__(self, *arguments: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        names = arguments_of(self.facts) or []
        given = dict(zip(names, arguments, strict=True))
        tensors = [one.detach().contiguous() for one in arguments if isinstance(one, Tensor)]
        if "edge_index" in given:
            _require_nodes(_tensor(given["edge_index"]), _tensor(arguments[0]).size(0))
        wholes: dict[str, Callable[[], Tensor]] = {
            "node_counts": lambda: _tensor(given["contributing"]),
            "edge_counts": lambda: _tensor(given["edge_index"])[0],
        }
        for name in names:
            if name in SHELL_COUNTS:
                tensors += [wholes[name]()[:count] for count in list(given[name])[:-1]]
        threads = PARALLEL in self._loaded and torch.get_num_threads() > 1
        energy, derivative = self._loaded[PARALLEL if threads else SERIAL](*tensors)
        return energy, derivative


def load(path: str | Path) -> Compiled:
    """Load an archive that `compile_archive` wrote; what does not fit this machine is refused."""
    return Compiled(path)


def _require_nodes(edge_index: Tensor, nodes: int) -> None:
    """Compiled code does not look where it reads."""
    if edge_index.numel() == 0:
        return
    least, most = (int(one) for one in torch.aminmax(edge_index))
    if least < 0 or most >= nodes:
        raise TorchMLError(
            f"edge_index holds numbers from {least} to {most}, expected 0 to {nodes - 1}, since "
            f"there are {nodes} nodes"
        )


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value
