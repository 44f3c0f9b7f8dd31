"""What an examination finds, and the same as JSON."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torchml
from torchml.data.output import written_then_renamed
from torchml.reference.agreement import Check
from torchml.reference.physics.curves import Curve


@dataclass
class Examination:
    """What was found of a model.

    Attributes:
        model: its name in KIM-API.
        device: where it ran.
        depth: quick, standard or full.
        facts: what the model declares, by name.
        checks: one per property and structure.
        curves: energies along paths.
        figures: results that are no checks, such as elastic constants, by name.
        notes: sentences about what was left out.
        seconds: time that it took.
    """

    model: str
    device: str
    depth: str
    facts: dict[str, str]
    checks: list[Check] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Names of the checks that failed on a structure."""
        failed = (check.name for check in self.checks if check.verdict == "fail")
        return list(dict.fromkeys(failed))


def versions() -> dict[str, str]:
    """Return the versions of the programs that take part."""
    return {
        "torchml": torchml.__version__,
        "torch": version("torch"),
        "ase": version("ase"),
        "Python": platform.python_version(),
    }


def write_json(found: Examination, path: str | Path) -> None:
    """Write an examination; units are eV and Å, what is not a number is null."""
    content: dict[str, Any] = {
        "model": found.model,
        "device": found.device,
        "depth": found.depth,
        "passed": not found.failures,
        "failures": found.failures,
        "facts": found.facts,
        "checks": [asdict(check) for check in found.checks],
        "figures": found.figures,
        "curves": [_as_mapping(curve) for curve in found.curves],
        "notes": found.notes,
        "seconds": round(found.seconds, 1),
        "versions": versions(),
    }
    with written_then_renamed(path) as temporary:
        text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _as_mapping(curve: Curve) -> dict[str, Any]:
    places = sorted(curve.points)
    return {
        "kind": curve.kind,
        "name": curve.name,
        "axis": curve.axis,
        "marks": curve.marks,
        "places": places,
        "energies": [curve.points[place][0] for place in places],
        "slopes": [curve.points[place][1] for place in places],
        "fault": curve.fault,
        "jumps": [asdict(jump) for jump in curve.jumps],
    }


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
