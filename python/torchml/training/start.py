"""Opening the potential from which a training starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torchml.importers.checkpoint import load_start
from torchml.importers.fine_tuned import FineTuned, tensor_of
from torchml.importers.imported import description, of_description
from torchml.importers.opening import Foreign, load
from torchml.models.scaled import Scaled
from torchml.training.loop.init_from import InitFrom
from torchml.training.loop.task import Task

_RULES = {"refit": "refitted to the labels", "keep": "kept"}


def start(rule: InitFrom, elements: Sequence[str]) -> FineTuned:
    """Open the potential and prepare it for a training.

    Args:
        rule: names the file, and what may change.
        elements: of the data; a model of another package keeps these alone, unless `rule` names
            others.

    Raises:
        TorchMLError: the file cannot be read, its network cannot be trained, or a pattern matches
            nothing.
    """
    potential, base = _foreign(rule, elements) if rule.source else load_start(rule.file)
    model = FineTuned(potential, rule.changes)
    model.base = base
    return model.train()


def _foreign(rule: InitFrom, elements: Sequence[str]) -> tuple[Scaled, dict[str, Any]]:
    """The potential of another package, and what a checkpoint needs to make it again."""
    assert rule.source is not None
    species = rule.species or list(elements) or None
    foreign = Foreign(rule.source, species, rule.head, rule.dtype, rule.python)
    loaded = load(rule.file, foreign=foreign)
    assert loaded.origin is not None
    kept = description(loaded.origin.content, rule.dtype or loaded.origin.content["dtype"])
    return of_description(kept), {"imported": kept}


def start_lines(task: Task, rule: InitFrom) -> Iterator[str]:
    """What stays and what changes of a potential, and its reference energies, line by line."""
    model = task.model
    assert isinstance(model, FineTuned)
    yield (
        f"starts from {rule.file}: {' '.join(model.species)}, cutoff {model.cutoff:g} Å, "
        f"{model.layers} layers"
    )
    yield from frozen_lines(model, rule)
    offsets = task.offsets
    if offsets is None:
        yield "reference energies: those of the checkpoint from which the training resumes"
        return
    if offsets.by_element:
        each = ", ".join(f"{symbol} {value:+.4f}" for symbol, value in offsets.by_element.items())
        yield (
            f"labels - old model: {each} eV per atom (mean {offsets.mean:+.4f}, "
            f"{offsets.rest:.4f} remain)"
        )
    else:
        yield "labels - old model: there are no energies to compare"
    yield f"reference energies (of isolated atoms) are {_RULES.get(str(rule.references), 'set')}:"
    for symbol, new, shift in zip(
        model.species, model.references.tolist(), model.shifts.tolist(), strict=True
    ):
        yield f"  {symbol} {new - shift:.6f} -> {new:.6f} eV"


def idle_lines(task: Task, rule: InitFrom) -> Iterator[str]:
    """Sentences about settings that change nothing."""
    model = task.model
    assert isinstance(model, FineTuned)
    if rule.rate is not None and not model.trained:
        yield (
            f"model.init_from.rate is {rule.rate:g}, but changes nothing: all old weights are "
            "frozen"
        )
    for pattern in model.idle:
        yield (
            f"model.init_from.freeze: '{pattern}' changes nothing: model.init_from.lora freezes "
            "these weights without it"
        )
    if task.normalization.references != "least_squares":
        yield (
            "model.normalization.references changes nothing beside model.init_from, expected "
            "model.init_from.references"
        )
    if rule.references == "refit" and task.offsets is not None and not task.offsets.by_element:
        yield (
            "model.init_from.references is refit, but changes nothing: the training data have no "
            "energies"
        )


def frozen_lines(model: FineTuned, rule: InitFrom) -> Iterator[str]:
    """What a training may change of a potential, line by line."""
    if model.trained:
        rate = f"at {rule.old_rate:g} of the learning rate"
        yield f"trained {rate}: {_counted(model, model.trained)}"
    if model.low_rank:
        assert rule.lora is not None
        yield f"low-rank changes (rank {rule.lora.rank}): {_counted(model, model.low_rank)}"
    yield f"frozen: {_counted(model, model.frozen)}"


def _counted(model: FineTuned, names: Sequence[str]) -> str:
    """How many weights, and of which parts of the network."""
    if not names:
        return "nothing"
    values = sum(tensor_of(model.network, name).numel() for name in names)
    parts = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    return f"{values:,} numbers in {len(names)} tensors ({', '.join(parts)})"
