"""The errors of a data set as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torchml.data.output import written_then_renamed
from torchml.evaluation.evaluate_summary import Summary, Worst
from torchml.evaluation.metrics_sums import Sums
from torchml.evaluation.metrics_table import in_order


@dataclass(frozen=True)
class Origin:
    """Where predictions and labels come from.

    Attributes:
        predictions: model or file.
        data: files.
        facts: further lines by title, such as the device or the calculator.
        versions: of programs, by name.
    """

    predictions: str
    data: list[str]
    facts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def write_json(summary: Summary, origin: Origin, path: str | Path) -> None:
    """Write metrics, groups, elements and the structures with the largest errors.

    Units are eV and Å, shares are between 0 and 1; what is not a number is null.
    """
    with written_then_renamed(path) as temporary:
        text = json.dumps(
            as_mapping(summary, origin), indent=1, ensure_ascii=False, allow_nan=False
        )
        temporary.write_text(text + "\n", encoding="utf-8")


def as_mapping(summary: Summary, origin: Origin) -> dict[str, Any]:
    """Return what `write_json` writes, as plain values."""
    return {
        "task": summary.task,
        "predictions": origin.predictions,
        "data": origin.data,
        "facts": origin.facts,
        "structures": summary.structures,
        "atoms": summary.atoms,
        "free_atoms_only": summary.free_atoms_only,
        "labels": dict(summary.labels),
        "units": "eV, Å; shares between 0 and 1",
        **_errors(summary.sums),
        "groups": {name: _errors(sums) for name, sums in sorted(summary.groups.items())},
        "elements": {name: _errors(sums) for name, sums in sorted(summary.elements.items())},
        "worst": {
            quantity: [_worst(entry) for entry in entries]
            for quantity, entries in summary.worst.items()
        },
        "versions": origin.versions,
    }


def _errors(sums: Sums) -> dict[str, Any]:
    values = sums.values()
    names = in_order(values)
    return {
        "metrics": {name: _number(values[name]) for name in names},
        "counts": {name: sums.counts[name] for name in names},
    }


def _worst(worst: Worst) -> Mapping[str, Any]:
    c = worst.configuration
    ids = {"sid": c.sid, "fid": c.fid, "group": c.group}
    return {
        "error": _number(worst.error),
        "source": c.source,
        "index": c.index,
        **{name: value for name, value in ids.items() if value is not None},
        "energy_error": _number(worst.energy_error),
        "atom": None
        if worst.of_atoms is None or np.isnan(worst.of_atoms).all()
        else int(np.nanargmax(worst.of_atoms)),
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
