"""Forces at relaxed positions, by the model that judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torchml.errors import DataError, TorchMLError
from torchml.evaluation.evaluating import Pair
from torchml.evaluation.metrics_positions import Relaxed
from torchml.inference.many import evaluate_many
from torchml.inference.potential import Potential

_TOGETHER = 32  # structures


def with_forces(potential: Potential, pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield relaxed structures with the forces of a model at their positions, for FbT and AFbT.

    Args:
        potential: the model.
        pairs: configurations and `Relaxed`.

    Raises:
        DataError: a structure does not fit the model; the sentence names it.
    """
    part: list[Pair] = []
    for pair in pairs:
        part.append(pair)
        if len(part) == _TOGETHER:
            yield from _evaluated(potential, part)
            part = []
    yield from _evaluated(potential, part)


def _evaluated(potential: Potential, part: list[Pair]) -> Iterator[Pair]:
    structures = []
    for configuration, relaxed in part:
        assert isinstance(relaxed, Relaxed)
        atoms = configuration.to_atoms()
        atoms.calc = None
        atoms.set_constraint()
        atoms.positions = relaxed.positions
        structures.append(atoms)
    try:
        evaluations = evaluate_many(potential, structures)
    except TorchMLError as error:
        names = f"{part[0][0].name} to {part[-1][0].index}"
        raise DataError(f"{names}: {error}") from None
    for (configuration, relaxed), evaluation in zip(part, evaluations, strict=True):
        assert isinstance(relaxed, Relaxed)
        yield configuration, Relaxed(relaxed.positions, relaxed.energy, evaluation.forces)
