"""The inputs of a compiled model, as the metadata key `inputs` declares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torchml.contract.metadata import ModelMetadata


@dataclass(frozen=True)
class Input:
    """A tensor that a compiled model takes.

    Attributes:
        name: of the argument of `forward`; an argument that is a list takes several tensors.
        dtype: float32, float64, int32 or int64.
        sizes: numbers, or names of free sizes, which are the same wherever they stand.
    """

    name: str
    dtype: str
    sizes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype}[{','.join(self.sizes)}]"

    def fits(self, shape: Sequence[int], known: dict[str, int]) -> bool:
        """Whether a shape is the declared one.

        Args:
            shape: of a tensor.
            known: lengths of the named sizes so far; those of this input are added.
        """
        return len(shape) == len(self.sizes) and all(
            length == (int(size) if size.isdigit() else known.setdefault(size, length))
            for size, length in zip(self.sizes, shape, strict=True)
        )

    @classmethod
    def parse(cls, text: str) -> Input:
        """The inverse of `str`."""
        name, _, rest = text.partition(":")
        dtype, _, sizes = rest.rstrip("]").partition("[")
        return cls(name, dtype, tuple(sizes.split(",")))


def inputs_of(facts: ModelMetadata) -> list[Input]:
    """The tensors that a compiled model takes, in order; none for a model that is not compiled."""
    return [Input.parse(word) for word in (facts.inputs or "").split()]


def arguments_of(facts: ModelMetadata) -> list[str] | None:
    """Arguments of a compiled model, each name once; None for a model that is not compiled."""
    if facts.inputs is None:
        return None
    return list(dict.fromkeys(one.name for one in inputs_of(facts)))
