"""Figures of the HTML report, as SVG whose colours are those of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.evaluation.metrics_distributions import LogHistogram, Parity

_SHADES = 8  # of cells, by the logarithm of their number of points


def parity_figure(parity: Parity, factor: float, unit: str, title: str) -> tuple[str, int]:
    """Return a plot of predictions over labels, and how many points lie outside of it.

    Args:
        parity: the pairs.
        factor: from their unit to the one of the axes.
        unit: of the axes.
        title: what a screen reader says.
    """
    width, height, left, top, size = 360, 350, 62, 10, 288
    low, high = (factor * limit for limit in _limits(parity))
    scale = size / (high - low)

    def x(values: Any) -> Any:
        return left + (values - low) * scale

    def y(values: Any) -> Any:
        return top + size - (values - low) * scale

    parts = [frame(left, top, size, size)]
    for value, text in ticks(low, high):
        across, up = x(value), y(value)
        parts.append(
            f'<path class="grid" d="M{across:.1f} {top}v{size}M{left} {up:.1f}h{size}"/>'
            f'<text x="{across:.1f}" y="{top + size + 18}" text-anchor="middle">{text}</text>'
            f'<text x="{left - 7}" y="{up + 4:.1f}" text-anchor="end">{text}</text>'
        )
    parts.append(f'<path class="guide" d="M{left} {top + size}L{left + size} {top}"/>')
    if len(parity.counts):
        corners = parity.cells * parity.side * factor
        inside = ((corners >= low) & (corners <= high)).all(axis=1)
        outside = int(parity.counts[~inside].sum())
        parts += _cells(
            x(corners[inside, 0]),
            y(corners[inside, 1]),
            parity.side * factor * scale,
            parity.counts[inside],
        )
    else:
        points = parity.points * factor
        inside = ((points >= low) & (points <= high)).all(axis=1)
        outside = int((~inside).sum())
        parts.append(_points(x(points[inside, 0]), y(points[inside, 1])))
    parts.append(
        f'<text class="label" x="{left + size / 2}" y="{height - 6}" text-anchor="middle">'
        f"label ({escape(unit)})</text>"
        f'<text class="label" transform="translate(13 {top + size / 2}) rotate(-90)" '
        f'text-anchor="middle">prediction ({escape(unit)})</text>'
    )
    return svg(width, height, title, parts), outside


def histogram_figure(errors: LogHistogram, factor: float, unit: str, title: str) -> str:
    """Return the distribution of errors over a logarithmic axis, with median and 95 %."""
    width, height, left, top, across, up = 360, 212, 14, 36, 332, 120
    begin, end = occupied(errors)
    parts = [_bars(_visible(errors, begin, end), left, top, across, up)]
    smaller = "; smaller ones in the first bar" if errors.counts[:begin].any() else ""
    edges = np.log10(errors.edges[[begin, end]] * factor)
    scale = across / (edges[1] - edges[0])
    base = top + up
    parts.append(f'<path class="axis" d="M{left} {base}h{across}"/>')
    for power, text in _log_ticks(*edges):
        place = left + (power - edges[0]) * scale
        parts.append(
            f'<path class="axis" d="M{place:.1f} {base}v5"/>'
            f'<text x="{place:.1f}" y="{base + 20}" text-anchor="middle">{text}</text>'
        )
    for share, row in ((0.5, 0), (0.95, 1)):
        place = left + (np.log10(errors.quantile(share) * factor) - edges[0]) * scale
        parts.append(
            f'<path class="mark" d="M{place:.1f} {base}V{18 + 15 * row}"/>'
            f'<text x="{place:.1f}" y="{14 + 15 * row}" text-anchor="middle">{share:.0%}</text>'
        )
    parts.append(
        f'<text class="label" x="{left + across / 2}" y="{height - 8}" text-anchor="middle">'
        f"error ({escape(unit)}, logarithmic{smaller})</text>"
    )
    return svg(width, height, title, parts)


def strip_figure(errors: LogHistogram, begin: int, end: int, title: str) -> str:
    """Return a small histogram without axis, of the bins of a range that several share."""
    return svg(240, 36, title, [_bars(_visible(errors, begin, end), 0, 2, 240, 33)])


def strip_axis(begin: int, end: int, factor: float, unit: str) -> str:
    """Return the axis of `strip_figure`."""
    edges = np.log10(LogHistogram().edges[[begin, end]] * factor)
    scale = 240 / (edges[1] - edges[0])
    parts = ['<path class="axis" d="M0 1h240"/>']
    for power, text in _log_ticks(*edges):
        place = (power - edges[0]) * scale
        anchor = "start" if place < 15 else "end" if place > 225 else "middle"
        parts.append(
            f'<path class="axis" d="M{place:.1f} 1v5"/>'
            f'<text x="{place:.1f}" y="20" text-anchor="{anchor}">{text}</text>'
        )
    return svg(240, 24, f"logarithmic axis in {unit}", parts)


def occupied(*histograms: LogHistogram) -> tuple[int, int]:
    """Return the range of bins in which the histograms have values: one to four decades.

    Smaller errors, such as zeros of symmetric structures, are counted in the first bar.
    """
    bins = np.flatnonzero(np.sum([histogram.counts for histogram in histograms], axis=0))
    end = int(bins[-1]) + 1
    begin = max(int(bins[0]), end - 4 * LogHistogram.PER_DECADE)
    missing = max(LogHistogram.PER_DECADE + 1 - (end - begin), 0)
    begin = max(begin - missing // 2, 0)
    return begin, min(max(end, begin + LogHistogram.PER_DECADE + 1), len(histograms[0].counts))


def ticks(low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
    """Return round values between two limits, and their texts with equal decimals."""
    raw = (high - low) / most
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw * (1 - 1e-9))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    values = [float(k * step) for k in np.arange(first, last + 1)]
    decimals = max(0, int(np.ceil(-np.log10(step) - 1e-9)) + (step / unit == 2.5))
    if max(map(abs, values), default=0) >= 1e6 or decimals > 5:
        return [(value, f"{value:.4g}") for value in values]
    return [(value, f"{value + 0.0:.{decimals}f}".replace("-", "−")) for value in values]


def svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """Return a figure of parts; a screen reader says its title."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def frame(left: float, top: float, width: float, height: float) -> str:
    """Return the border of a plot."""
    return f'<rect class="frame" x="{left}" y="{top}" width="{width}" height="{height}"/>'


def _limits(parity: Parity) -> tuple[float, float]:
    """The range of labels and predictions, without outliers far beyond that of the labels."""
    low, high = parity.range
    span = high - low
    predictions = parity.cells[:, 1] * parity.side if len(parity.counts) else parity.points[:, 1]
    least, most = _fences(predictions, parity.counts if len(parity.counts) else None)
    near = np.clip(predictions, min(low - 0.25 * span, least), max(high + 0.25 * span, most))
    low, high = min(low, float(near.min())), max(high, float(near.max()))
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _fences(
    values: NDArray[np.floating[Any]], counts: NDArray[np.int64] | None
) -> tuple[float, float]:
    """The limits beyond which values are outliers: J. W. Tukey, Exploratory Data Analysis (1977).

    Predictions that are all far from the labels, by another zero of energy, are none.
    """
    order = np.argsort(values)
    ends = np.cumsum(np.ones(len(values)) if counts is None else counts[order])
    first, third = values[order][np.searchsorted(ends, ends[-1] * np.array([0.25, 0.75]))]
    reach = 1.5 * (third - first)
    return float(first - reach), float(third + reach)


# --- Parts ---------------------------------------------------------------------------------------


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Points as one path of dots, of a size that fits their number."""
    width = 6.0 if len(x) < 300 else 4.0 if len(x) < 3000 else 2.2
    dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
    return f'<path class="points" stroke-width="{width}" d="{dots}"/>'


def _cells(
    x: NDArray[np.float64], y: NDArray[np.float64], side: float, counts: NDArray[np.int64]
) -> list[str]:
    """Squares with their lower left corners at x, y: one path for each shade."""
    levels = np.log1p(counts) / np.log1p(counts.max(initial=1))
    shades = np.ceil(levels * _SHADES).astype(int)
    paths = []
    for shade in np.unique(shades).tolist():
        corners = zip(x[shades == shade], y[shades == shade], strict=True)
        squares = "".join(
            f"M{a:.1f} {b:.1f}h{side:.2f}v-{side:.2f}h-{side:.2f}z" for a, b in corners
        )
        paths.append(f'<path class="cells" fill-opacity="{shade / _SHADES:.2f}" d="{squares}"/>')
    return paths


def _visible(errors: LogHistogram, begin: int, end: int) -> NDArray[np.int64]:
    """The counts of a range of bins, with all smaller errors in the first."""
    counts = errors.counts[begin:end].copy()
    counts[0] += errors.counts[:begin].sum()
    return counts


def _bars(counts: NDArray[np.int64], left: float, top: float, width: float, height: float) -> str:
    """Bars of equal width that fill a rectangle."""
    bar = width / len(counts)
    heights = height * counts / max(counts.max(initial=0), 1)
    path = "".join(
        f"M{left + k * bar:.2f} {top + height}v{-h:.2f}h{bar:.2f}V{top + height}z"
        for k, h in enumerate(heights.tolist())
        if h > 0
    )
    return f'<path class="bars" d="{path}"/>'


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten between two logarithms, and 2 and 5 times them where there are few."""
    factors = (1, 2, 5) if high - low < 1.6 else (1,)
    powers = range(int(np.floor(low)), int(np.floor(high)) + 1)
    ticks = [(power + np.log10(k), k, power) for power in powers for k in factors]
    return [(x, _power(k, power)) for x, k, power in ticks if low - 1e-9 <= x <= high + 1e-9]


def _power(factor: int, power: int) -> str:
    """A multiple of a power of ten as people write it."""
    if -3 <= power <= 4:
        return f"{factor * 10.0**power:g}"
    exponent = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{exponent}" if factor == 1 else f"{factor}·10{exponent}"
