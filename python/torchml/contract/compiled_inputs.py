"""The inputs of a compiled model, as the metadata key `inputs` declares them."""

from __future__ import annotations

from dataclasses import dataclass

from torchml.contract.metadata import ModelMetadata


@dataclass(frozen=True)
class Input:
    """A tensor that the compiled model takes; `sizes` are numbers or the names of free sizes."""

    name: str
    dtype: str
    sizes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype}[{','.join(self.sizes)}]"

    @classmethod
    def parse(cls, text: str) -> Input:
        """The inverse of `str`."""
        name, _, rest = text.partition(":")
        dtype, _, sizes = rest.rstrip("]").partition("[")
        return cls(name, dtype, tuple(sizes.split(",")))


def arguments_of(facts: ModelMetadata) -> list[str] | None:
    """What a compiled model takes, each name once; None for a model that is not compiled."""
    if facts.inputs is None:
        return None
    return list(dict.fromkeys(Input.parse(word).name for word in facts.inputs.split()))
