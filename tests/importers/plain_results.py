"""Results of a package as JSON holds them; needs the adapters alone."""

from __future__ import annotations

from typing import Any


def plain(results: Any) -> dict[str, Any]:
    """Energy, forces and stress of `reading.source.Results` as numbers and lists."""
    return {
        "energy": results.energy,
        "forces": results.forces.tolist(),
        "stress": None if results.stress is None else results.stress.tolist(),
    }
