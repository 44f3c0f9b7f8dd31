"""Energies along paths as figures of the page."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from torchml.evaluation.report_figures import frame, svg, ticks
from torchml.reference.physics.curves import Curve

# Steep walls leave the plot: it is so many times as high as the well is deep.
WALL = 1.5
MOST_POINTS = 500


def curve_figure(curve: Curve) -> str:
    """Return a plot of the energy along a path, with its marks and jumps."""
    width, height, left, top, across, up = 360, 280, 80, 22, 270, 200
    places = np.array(sorted(curve.points))
    energies = np.array([curve.points[place][0] for place in places.tolist()])
    finite = np.isfinite(energies)
    places, energies = places[finite], energies[finite]
    if not len(places):
        return ""
    if len(places) > MOST_POINTS:
        chosen = np.linspace(0, len(places) - 1, MOST_POINTS).astype(int)
        places, energies = places[chosen], energies[chosen]
    low, high = _limits(energies)
    begin, end = float(places[0]), float(places[-1])

    def x(place: float) -> float:
        return left + across * (place - begin) / max(end - begin, 1e-9)

    def y(energy: float) -> float:
        return top + up * (high - energy) / (high - low)

    parts = [frame(left, top, across, up)]
    for value, text in ticks(begin, end):
        parts.append(
            f'<path class="grid" d="M{x(value):.1f} {top}v{up}"/>'
            f'<text x="{x(value):.1f}" y="{top + up + 18}" text-anchor="middle">{text}</text>'
        )
    for value, text in ticks(low, high):
        parts.append(
            f'<path class="grid" d="M{left} {y(value):.1f}h{across}"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for name, place in curve.marks.items():
        parts.append(
            f'<path class="guide" d="M{x(place):.1f} {top}v{up}"/>'
            f'<text x="{x(place):.1f}" y="{top - 7}" text-anchor="middle">{escape(name)}</text>'
        )
    for jump in curve.jumps:
        parts.append(f'<path class="mark" d="M{x(jump.place):.1f} {top}v{up}"/>')
    line, pen = "", "M"
    for place, energy in zip(places.tolist(), energies.tolist(), strict=True):
        if energy <= high:
            line += f"{pen}{x(place):.1f} {y(energy):.1f}"
        pen = "L" if energy <= high else "M"
    parts.append(
        f'<path class="curve" d="{line}"/>'
        f'<text class="label" x="{left + across / 2}" y="{height - 8}" text-anchor="middle">'
        f"{escape(curve.axis)}</text>"
        f'<text class="label" transform="translate(13 {top + up / 2}) rotate(-90)" '
        'text-anchor="middle">energy (eV)</text>'
    )
    return svg(width, height, f"{curve.kind} of {curve.name}: energy over {curve.axis}", parts)


def _limits(energies: NDArray[np.float64]) -> tuple[float, float]:
    """The range of the energies, without a wall that is far higher than the end of the curve."""
    low, high, last = float(energies.min()), float(energies.max()), float(energies[-1])
    depth = last - low
    if depth > 1e-6 and high > last + WALL * depth:
        high = last + WALL * depth
    margin = 0.05 * (high - low) or max(1e-6, 1e-9 * abs(low))
    return low - margin, high + margin
