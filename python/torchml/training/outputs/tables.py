"""Tables of metrics in the usual units."""

from __future__ import annotations

from collections.abc import Mapping

from ase import units
from rich.table import Table

# Unit and factor of a metric: that of the longest name it begins with.
_UNITS: dict[str, tuple[str, float]] = {
    "energy": ("eV", 1.0),
    "energy_per_atom": ("meV/atom", 1e3),
    "ewt": ("%", 1e2),
    "efwt": ("%", 1e2),
    "forces": ("eV/Å", 1.0),
    "forces_cosine": ("", 1.0),
    "stress": ("GPa", 1 / units.GPa),
}


# Metrics at the top of a table, in this order; components are in the logs only.
_ORDER = (
    *("loss", "energy_per_atom_mae", "energy_per_atom_rmse", "energy_mae", "energy_rmse"),
    *("forces_mae", "forces_rmse", "forces_cosine", "forces_magnitude"),
    *("stress_mae", "stress_rmse", "ewt", "efwt"),
)
_HIDDEN = ("forces_x_mae", "forces_y_mae", "forces_z_mae")


def unit_of(name: str) -> tuple[str, float]:
    """Return the usual unit of a metric, and the factor to it from eV and Å."""
    stems = [stem for stem in _UNITS if name == stem or name.startswith(f"{stem}_")]
    return _UNITS[max(stems, key=len)] if stems and not name.endswith("_loss") else ("", 1.0)


def with_unit(name: str, value: float) -> str:
    """Return a metric in its usual unit: 3.214 meV/atom."""
    unit, factor = unit_of(name)
    return f"{value * factor:.4g} {unit}".rstrip()


def metrics_table(title: str, metrics: Mapping[str, float]) -> Table:
    """Return a table with one row per metric."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("metric", no_wrap=True)
    table.add_column("", justify="right")
    table.add_column("", no_wrap=True)
    ordered = [name for name in _ORDER if name in metrics]
    for name in ordered + [name for name in metrics if name not in (*_ORDER, *_HIDDEN)]:
        unit, factor = unit_of(name)
        value = metrics[name]
        table.add_row(name, "" if value != value else f"{value * factor:.4g}", unit)
    return table


# Metrics of each group.
_OF_GROUPS = (
    *("energy_per_atom_mae", "energy_per_atom_rmse", "forces_mae", "forces_rmse"),
    *("stress_mae", "stress_rmse"),
)


def groups_table(title: str, groups: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a table with one row per group of configurations, and one column per error."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("group", overflow="fold")
    known = {name for errors in groups.values() for name, value in errors.items() if value == value}
    shown = [name for name in _OF_GROUPS if name in known]
    for name in shown:
        quantity, kind = name.replace("energy_per_atom", "energy").rsplit("_", 1)
        table.add_column(f"{quantity} {kind.upper()}\n{unit_of(name)[0]}", justify="right")
    for group, errors in groups.items():
        row = (errors.get(name, float("nan")) * unit_of(name)[1] for name in shown)
        table.add_row(group, *("" if value != value else f"{value:.4g}" for value in row))
    return table
