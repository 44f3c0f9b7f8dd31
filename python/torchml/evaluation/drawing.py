"""Drawings of structures: elements, and the error of each atom."""

from __future__ import annotations

import io

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.visualize.plot import plot_atoms
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchml.data.configuration import Configuration

MOST_ATOMS = 400
"""Atoms that are drawn of a structure: the nearest ones to the atom with the largest error."""

_VIEW = "-80x,12y,4z"  # from the side, so that slabs show their layers
_ERRORS = LinearSegmentedColormap.from_list("errors", ["#ffffff", "#f9a15f", "#c81e3a"])
_NOT_COUNTED = (0.72, 0.74, 0.78)


def draw_structure(configuration: Configuration, of_atoms: NDArray[np.float64] | None) -> bytes:
    """Return a PNG: the atoms in the colours of their elements, and beside it of their errors.

    Args:
        configuration: the structure.
        of_atoms: [N], errors, from white (0) to red (the largest one); NaN, which is grey, for
            atoms that do not count. Without it, only the elements are drawn.
    """
    shown = atoms_to_draw(configuration, of_atoms)
    atoms = Atoms(
        numbers=configuration.numbers[shown],
        positions=configuration.positions[shown],
        cell=configuration.cell,
        pbc=configuration.pbc,
    )
    colors = [jmol_colors[atoms.numbers]]
    if of_atoms is not None:
        colors.append(_colors_of_errors(of_atoms[shown]))
    panels = len(colors)
    figure = Figure(figsize=(3.2 * panels, 3.2))
    for k, of_panel in enumerate(colors):
        axes = figure.add_axes(((k + 0.03) / panels, 0.03, 0.94 / panels, 0.94))
        plot_atoms(
            atoms,
            axes,
            rotation=_VIEW,
            radii=0.9 * covalent_radii[atoms.numbers],
            colors=of_panel,
            show_unit_cell=2 if len(shown) == len(configuration) and atoms.cell.rank == 3 else 0,
        )
        axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, transparent=True)
    return file.getvalue()


def atoms_to_draw(
    configuration: Configuration, of_atoms: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Return the indices of the atoms that are drawn, in their order."""
    if len(configuration) <= MOST_ATOMS:
        return np.arange(len(configuration))
    errors = np.zeros(len(configuration)) if of_atoms is None else np.nan_to_num(of_atoms, nan=-1.0)
    center = configuration.positions[int(np.argmax(errors))]
    distances = np.linalg.norm(configuration.positions - center, axis=1)
    return np.sort(np.argsort(distances, kind="stable")[:MOST_ATOMS])


def _colors_of_errors(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = errors[np.isfinite(errors)]
    largest = max(finite.max(initial=0.0), 1e-300)
    scaled = np.clip(np.nan_to_num(errors / largest, nan=0.0, posinf=1.0), 0.0, 1.0)
    colors: NDArray[np.float64] = _ERRORS(scaled)[:, :3]
    colors[np.isnan(errors)] = _NOT_COUNTED
    return colors
