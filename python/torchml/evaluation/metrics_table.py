"""Metrics in the usual units, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ase import units
from rich.table import Table

# Unit and factor of a metric: that of the longest name it begins with.
_UNITS: dict[str, tuple[str, float]] = {
    "energy": ("eV", 1.0),
    "energy_mse": ("eV²", 1.0),
    "energy_per_atom": ("meV/atom", 1e3),
    "energy_per_atom_mse": ("(meV/atom)²", 1e6),
    "forces": ("eV/Å", 1.0),
    "forces_mse": ("(eV/Å)²", 1.0),
    "forces_cosine": ("", 1.0),
    "stress": ("GPa", 1 / units.GPa),
    "distance": ("Å", 1.0),
    "positions": ("Å", 1.0),
    "positions_mse": ("Å²", 1.0),
    **dict.fromkeys(("ewt", "efwt", "adwt", "fbt", "afbt"), ("%", 1e2)),
}


DEFINITIONS = {
    "energy_mae": "mean |E − E_label|",
    "energy_mse": "mean (E − E_label)²",
    "energy_rmse": "root of the mean (E − E_label)²",
    "energy_per_atom_mae": "mean |E − E_label| / number of atoms",
    "energy_per_atom_mse": "mean ((E − E_label) / number of atoms)²",
    "energy_per_atom_rmse": "root of the mean ((E − E_label) / number of atoms)²",
    "ewt": "structures with |E − E_label| < 0.02 eV",
    "forces_mae": "mean |F − F_label| of the components",
    "forces_mse": "mean (F − F_label)² of the components",
    "forces_rmse": "root of the mean (F − F_label)² of the components",
    "forces_x_mae": "mean |F − F_label| of the x components",
    "forces_y_mae": "mean |F − F_label| of the y components",
    "forces_z_mae": "mean |F − F_label| of the z components",
    "forces_difference": "mean length of the vector F − F_label of an atom",
    "forces_cosine": "mean cosine of the angle between F and F_label of an atom",
    "forces_magnitude": "mean difference of the lengths of F and F_label of an atom",
    "efwt": "structures with |E − E_label| < 0.02 eV and all |F − F_label| < 0.03 eV/Å",
    "stress_mae": "mean |s − s_label| of the six components",
    "stress_rmse": "root of the mean (s − s_label)² of the six components",
    "adwt": "mean share of structures whose free atoms are on average within 0.01 to 0.5 Å of the "
    "labels; differences by fractional coordinates, as in OCP",
    "adwt_minimum_image": "the same with the nearest images, also in skewed cells",
    "distance": "mean distance of an atom from its relaxed position, nearest image",
    "positions_mae": "mean |difference| of the coordinates, nearest image",
    "positions_mse": "mean (difference)² of the coordinates, nearest image",
    "fbt": "structures whose forces on free atoms are all below 0.05 eV/Å",
    "afbt": "mean share of structures whose forces on free atoms are all below 0.01 to 0.4 eV/Å",
}
"""What each metric is, in words."""

# Metrics at the top of a table, in this order.
_COMPONENTS = ("forces_x_mae", "forces_y_mae", "forces_z_mae")
_ORDER = (
    *("loss", "adwt", "adwt_minimum_image", "distance", "positions_mae", "positions_mse"),
    *("energy_per_atom_mae", "energy_per_atom_rmse", "energy_per_atom_mse"),
    *("energy_mae", "energy_rmse", "energy_mse"),
    *("forces_mae", "forces_rmse", "forces_mse", *_COMPONENTS),
    *("forces_difference", "forces_cosine", "forces_magnitude"),
    *("stress_mae", "stress_rmse", "ewt", "efwt", "fbt", "afbt"),
)


def unit_of(name: str) -> tuple[str, float]:
    """Return the usual unit of a metric, and the factor to it from eV and Å."""
    stems = [stem for stem in _UNITS if name == stem or name.startswith(f"{stem}_")]
    return _UNITS[max(stems, key=len)] if stems and not name.endswith("_loss") else ("", 1.0)


def with_unit(name: str, value: float) -> str:
    """Return a metric in its usual unit: 3.214 meV/atom."""
    unit, factor = unit_of(name)
    return f"{value * factor:.4g} {unit}".rstrip()


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of metrics in the order of the tables."""
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def metrics_table(title: str, metrics: Mapping[str, float], components: bool = False) -> Table:
    """Return a table with one row per metric; errors of force components only if requested."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("metric", no_wrap=True)
    table.add_column("", justify="right")
    table.add_column("", no_wrap=True)
    for name in in_order(metrics):
        if name in _COMPONENTS and not components:
            continue
        unit, factor = unit_of(name)
        value = metrics[name]
        table.add_row(name, "" if value != value else f"{value * factor:.4g}", unit)
    return table


# Metrics of each group.
_OF_GROUPS = (
    *("energy_per_atom_mae", "energy_per_atom_rmse", "forces_mae", "forces_rmse"),
    *("stress_mae", "stress_rmse"),
    *("adwt", "adwt_minimum_image", "distance"),
)


def columns_of_groups(groups: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return the metrics that tables of groups show, and the titles of their columns."""
    known = {name for errors in groups.values() for name, value in errors.items() if value == value}
    return {name: _title(name) for name in _OF_GROUPS if name in known}


def _title(name: str) -> str:
    if not name.endswith(("_mae", "_rmse")):
        return name.replace("_", " ")
    quantity, kind = name.replace("energy_per_atom", "energy").rsplit("_", 1)
    return f"{quantity} {kind.upper()}"


def groups_table(
    title: str, groups: Mapping[str, Mapping[str, float]], first: str = "group"
) -> Table:
    """Return a table with one row per group of configurations, and one column per error."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    shown = columns_of_groups(groups)
    for name, heading in shown.items():
        table.add_column(f"{heading}\n{unit_of(name)[0]}", justify="right")
    for group, errors in groups.items():
        row = (errors.get(name, float("nan")) * unit_of(name)[1] for name in shown)
        table.add_row(group, *("" if value != value else f"{value:.4g}" for value in row))
    return table
