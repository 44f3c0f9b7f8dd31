"""Compiled archives (`.pt2`) in Python: energy and derivative as machine code."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

import torchml._core as core
from torchml.contract import metadata
from torchml.contract.compiled_inputs import arguments_of, inputs_of
from torchml.errors import TorchMLError

SUFFIX = ".pt2"

# The models in an archive: energy and derivative for one thread and for several, of which a GPU has
# the first alone; and the energy alone, in float64.
SERIAL, PARALLEL, ENERGY = "serial", "parallel", "energy"


class Compiled:
    """A compiled model in Python, called as the `forward` that it was compiled from.

    Args:
        path: the archive, `.pt2`.

    Attributes:
        facts: its metadata.
    """

    def __init__(self, path: str | Path) -> None:
        from torch.export.pt2_archive._package import load_pt2

        facts = metadata.read(path)
        if facts is None or facts.inputs is None:
            raise TorchMLError(f"{path} has no 'inputs', expected an archive of `compile_archive`")
        core.require_fit(str(path), facts.device or "cpu")
        self.facts = facts
        self._source = f"the metadata of {path}"
        self._inputs = inputs_of(facts)
        with _instruction_sets_not_compared():
            self._loaded = load_pt2(str(path)).aoti_runners

    def __call__(self, *arguments: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Energy and derivative.

        Args:
            arguments: tensors and lists of counts, as `forward` took them.

        Returns:
            The energy (eV), and its derivative by the float input, negative for coordinates.

        Raises:
            TorchMLError: a tensor does not have the declared type or shape, or an edge names a
                node that is not there.
        """
        tensors = self._flatten(arguments)
        self._check(tensors)
        threads = PARALLEL in self._loaded and torch.get_num_threads() > 1
        energy, derivative = self._loaded[PARALLEL if threads else SERIAL](*tensors)
        return energy, derivative

    def _flatten(self, arguments: Sequence[Tensor | Sequence[int]]) -> list[Tensor]:
        """The tensors that are handed over: compiled code reads memory in order."""
        names = arguments_of(self.facts) or []
        if len(arguments) != len(names):
            raise TorchMLError(
                f"the model is given {len(arguments)} arguments, expected the {len(names)} of "
                f"'inputs' in {self._source}: {' '.join(names)}"
            )
        whole: dict[str, Tensor] = {}
        tensors = []
        for name, value in zip(names, arguments, strict=True):
            if isinstance(value, Tensor):
                tensors.append(value.detach().contiguous())
                whole[name] = tensors[-1]
            else:
                # As in the engine, each count but the last is the length of a view.
                rows = whole["contributing"] if name == "node_counts" else whole["edge_index"][0]
                for count in list(value)[:-1]:
                    if not 0 <= count <= len(rows):
                        raise TorchMLError(
                            f"{name} holds {count}, expected 0 to {len(rows)}, the number of rows"
                        )
                    tensors.append(rows[:count])
        return tensors

    def _check(self, tensors: Sequence[Tensor]) -> None:
        """Refuse what the compiled code would compute with anyway, as the engine does."""
        if len(tensors) != len(self._inputs):
            raise TorchMLError(
                f"the model is given {len(tensors)} tensors, expected the {len(self._inputs)} of "
                f"'inputs' in {self._source}"
            )
        known: dict[str, int] = {}
        for declared, tensor in zip(self._inputs, tensors, strict=True):
            found = str(tensor.dtype).removeprefix("torch.")
            if found != declared.dtype:
                raise TorchMLError(
                    f"the model's input {declared.name} is of type {found}, expected "
                    f"{declared.dtype} as 'inputs' in {self._source} says"
                )
            if not declared.fits(tensor.shape, known):
                raise TorchMLError(
                    f"the model's input {declared.name} has the shape {list(tensor.shape)}, "
                    f"expected one that fits 'inputs' in {self._source}"
                )
            if declared.name == "edge_index":
                _require_nodes(tensor, tensors[0].size(0))


def load(path: str | Path) -> Compiled:
    """Load a compiled archive.

    Args:
        path: what `compile_archive` wrote.

    Raises:
        TorchMLError: the archive does not fit this machine.
    """
    return Compiled(path)


def _require_nodes(edge_index: Tensor, nodes: int) -> None:
    """Refuse edges of nodes that are not there: compiled code would read beyond the memory."""
    if edge_index.numel() == 0:
        return
    least, most = (int(one) for one in torch.aminmax(edge_index))
    if least < 0 or most >= nodes:
        raise TorchMLError(
            f"edge_index holds numbers from {least} to {most}, expected 0 to {nodes - 1}, since "
            f"there are {nodes} nodes"
        )


@contextmanager
def _instruction_sets_not_compared() -> Iterator[None]:
    """Drop torch's warning that this machine has more instructions than the archive uses.

    `require_fit` refuses machines that have fewer.
    """

    def is_another(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Device information mismatch")

    logger = logging.getLogger("torch.export.pt2_archive._package")
    logger.addFilter(is_another)
    try:
        yield
    finally:
        logger.removeFilter(is_another)
