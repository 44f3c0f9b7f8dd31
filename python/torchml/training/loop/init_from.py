"""The key `model.init_from` of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torchml.errors import TorchMLError
from torchml.importers.fine_tuned import Changes, LoRA


@dataclass(frozen=True)
class InitFrom:
    """A trained potential from which a training starts, and what stays of it.

    Attributes:
        file: checkpoint of a training, or a model of another package: a file, or a name that the
            package knows.
        source: for a model of another package, its kind (mace, sevennet, nequip, ...), or
            FILE.py:function. Reading it may run any code that came with the model, so name it only
            where you trust the source of the file.
        python: Python of an environment with torch and the package of `source`; null is this one.
        head: one of several heads, modalities or fidelities of a model of another package.
        species: elements to keep of a model of another package; null keeps those of the data.
        dtype: float type of a model of another package; null is its own.
        references: energies of isolated atoms. refit adds what the labels differ from the old model
            by, for each element by least squares; keep keeps those of the old model; a mapping
            sets them (eV).
        freeze: patterns of the names of weights, or of parts of the network, that do not change; a
            text is one pattern.
        rate: learning rate of the old weights, as a fraction of the optimiser's.
        lora: train low-rank changes of the matrices in place of the weights.
    """

    file: str
    source: str | None = None
    python: str | None = None
    head: str | None = None
    species: list[str] | None = None
    dtype: Literal["float32", "float64"] | None = None
    references: Literal["refit", "keep"] | dict[str, float] = "refit"
    freeze: list[str] | str = field(default_factory=list)
    rate: float | None = None
    lora: LoRA | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:
            raise TorchMLError(
                f"model.init_from.rate is {self.rate}, expected a positive number; freeze: ['*'] "
                "keeps weights as they are"
            )
        if self.source is None:
            for name in ("python", "head", "species", "dtype"):
                if getattr(self, name) is not None:
                    raise TorchMLError(
                        f"model.init_from.{name} is for models of other packages, expected "
                        "model.init_from.source beside it"
                    )

    @property
    def changes(self) -> Changes:
        """What the training may change."""
        patterns = [self.freeze] if isinstance(self.freeze, str) else self.freeze
        return Changes(tuple(patterns), self.lora)

    @property
    def old_rate(self) -> float:
        """The fraction of the learning rate that the old weights get."""
        return 0.1 if self.rate is None else self.rate


def init_from_of(value: InitFrom | str | None) -> InitFrom | None:
    """The long form of the key: a text is a checkpoint."""
    return InitFrom(value) if isinstance(value, str) else value
