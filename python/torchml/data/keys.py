"""Names and units of the labels in a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ase import units

from torchml.errors import DataError

AUTO = "auto"

# Names under which files keep a label, compared without regard to case.
ALIASES = {
    "energy": (
        "energy",
        "ref_energy",
        "dft_energy",
        "total_energy",
        "potential_energy",
        "potential-energy",
    ),
    "forces": (
        *("forces", "force", "for"),
        *("ref_forces", "ref_force", "dft_forces", "dft_force"),
        *("atomic_forces", "atomic-forces"),
    ),
    "stress": (
        *("stress", "ref_stress", "dft_stress", "cauchy_stress", "cauchy-stress"),
        *("virial", "virials", "ref_virial", "ref_virials", "dft_virial", "dft_virials"),
    ),
    "group": ("group", "config_type"),
    "weight": ("weight", "config_weight", "configuration_weight"),
    "energy_weight": ("energy_weight", "config_energy_weight"),
    "forces_weight": (
        *("forces_weight", "force_weight"),
        *("config_forces_weight", "config_force_weight"),
    ),
    "stress_weight": ("stress_weight", "config_stress_weight"),
    "virial_weight": (
        *("virial_weight", "virials_weight"),
        *("config_virial_weight", "config_virials_weight"),
    ),
}
# Weights of terms, which have no entry in `Keys`.
TERM_WEIGHTS = ("energy_weight", "forces_weight", "stress_weight", "virial_weight")
WEIGHTS = {name for role in ("weight", *TERM_WEIGHTS) for name in ALIASES[role]}
_LABEL_LIKE = re.compile(r"energy|force|stress|virial|weight", re.I)
RELAXED_POSITIONS = "pos_relaxed"
# Names of what is read besides labels, and the fields of a configuration that hold it, or `info`.
EXTRAS = {
    **{name: name for name in ("sid", "fid", "charge", "spin", "source")},
    "y_relaxed": "relaxed_energy",
    "y_init": "initial_energy",
    RELAXED_POSITIONS: "relaxed_positions",
}
# Names of results of ASE that are derived from the labels, or are sums of them.
_NO_LABELS = {"energies", "stresses", "energy_hist", "converged_forces"}

_ENERGIES = {
    "ev": 1.0,
    "mev": 1e-3,
    "ha": units.Hartree,
    "hartree": units.Hartree,
    "ry": units.Rydberg,
    "rydberg": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kj/mol": units.kJ / units.mol,
    "j": units.J,
}
_LENGTHS = {
    "å": 1.0,
    "a": 1.0,
    "angstrom": 1.0,
    "ang": 1.0,
    "bohr": units.Bohr,
    "a0": units.Bohr,
    "nm": units.nm,
    "pm": units.nm / 1000,
    "m": units.m,
}
_PRESSURES = {
    "gpa": units.GPa,
    "mpa": units.GPa / 1e3,
    "pa": units.Pascal,
    "bar": units.bar,
    "kbar": 1e3 * units.bar,
}


@dataclass(frozen=True)
class Keys:
    """Names of the labels in a file, and their units.

    Names are written exactly as in the file. "auto" finds the usual names; several of them in one
    file are an error. null (None) ignores the label.

    Args:
        energy: name of the total energy.
        forces: name of the forces.
        stress: name of the stress, or of a virial, whose name contains "virial": -stress * volume
            in units of energy.
        targets: names of further labels to read, which are not converted.
        weight: name of a number, the weight of the configuration in the loss. Weights of single
            terms (energy_weight, config_forces_weight, ...) multiply it.
        group: name of the kind of configuration.
        energy_unit: unit of energies: eV, meV, Ha, Ry, kcal/mol, kJ/mol or J.
        length_unit: unit of positions and cell: Å, Bohr, nm, pm or m.
        force_unit: unit of forces, such as Ha/Bohr; without it, energy_unit / length_unit.
        stress_unit: unit of stress, such as GPa or kbar; without it, energy_unit / length_unit³.
        allow_missing: ignore labels that are NaN; else they are an error.
    """

    energy: str | None = AUTO
    forces: str | None = AUTO
    stress: str | None = AUTO
    targets: list[str] = field(default_factory=list)
    weight: str | None = AUTO
    group: str | None = AUTO
    energy_unit: str = "eV"
    length_unit: str = "Å"
    force_unit: str | None = None
    stress_unit: str | None = None
    allow_missing: bool = False

    def __post_init__(self) -> None:
        _ = self.energy_factor, self.length_factor, self.force_factor, self.stress_factor

    @property
    def energy_factor(self) -> float:
        """eV per unit of energy of the file."""
        return _factor(self.energy_unit, _ENERGIES, "energy_unit", "eV, Ha, Ry, kcal/mol, kJ/mol")

    @property
    def length_factor(self) -> float:
        """Å per unit of length of the file."""
        return _factor(self.length_unit, _LENGTHS, "length_unit", "Å, Bohr, nm, pm, m")

    @property
    def force_factor(self) -> float:
        """eV/Å per unit of force of the file."""
        if self.force_unit is None:
            return self.energy_factor / self.length_factor
        return _quotient(self.force_unit, "force_unit", "eV/Å or Ha/Bohr", power=1)

    @property
    def stress_factor(self) -> float:
        """eV/Å³ per unit of stress of the file."""
        if self.stress_unit is None:
            return self.energy_factor / self.length_factor**3
        if _plain(self.stress_unit) in _PRESSURES:
            return _PRESSURES[_plain(self.stress_unit)]
        return _quotient(self.stress_unit, "stress_unit", "eV/Å³, GPa or kbar", power=3)


def find_key(wanted: str | None, label: str, present: Iterable[str], where: str) -> str | None:
    """Return the name of a label in a file, None if it is not there.

    Args:
        wanted: entry of `Keys` for the label.
        label: energy, forces, stress, group, weight, or the weight of a term.
        present: names in the file.
        where: configuration that errors name.

    Raises:
        DataError: the file has several of the usual names.
    """
    if wanted is None:
        return None
    if wanted != AUTO:
        return wanted if wanted in present else None
    matches = [name for name in present if name.lower() in ALIASES[label]]
    if len(matches) > 1:
        cure = "rename one" if label in TERM_WEIGHTS else f"say which by keys.{label}"
        raise DataError(
            f"{where} has {' and '.join(map(repr, sorted(matches)))}, expected one name for the "
            f"{label.replace('_', ' ')}: {cure}"
        )
    return matches[0] if matches else None


COLUMN = "column"  # the role of values of atoms that are not used
EQUAL = "equal to energy"  # the role of a free energy that does not differ


def collect(names: dict[str, str], labels: Mapping[str, Any], columns: Iterable[str] = ()) -> None:
    """Add the names of a configuration's labels and columns to those of its file."""
    free, energy = labels.get("free_energy"), labels.get("energy")
    equal = free is not None and isinstance(free, float) and free == energy
    known = names.get("free_energy", EQUAL)
    names |= dict.fromkeys(columns, COLUMN)
    names |= dict.fromkeys(labels, "")
    if equal:
        names["free_energy"] = known


def roles(names: Mapping[str, str], keys: Keys) -> dict[str, str]:
    """Return as what each name of a file is read: energy, forces, ..., target; "" if unused.

    Args:
        names: of a file, with what its reader knows of them: a role, `COLUMN` for values of atoms,
            or "".
        keys: names of the labels.
    """
    wanted = {label: getattr(keys, label) for label in ("energy", "forces", "stress", "group")}
    wanted |= {"weight": keys.weight, **dict.fromkeys(TERM_WEIGHTS, AUTO)}

    def role(name: str, known: str) -> str:
        for label, entry in wanted.items():
            of_atoms = known == COLUMN and label != "forces"
            named = name == entry or (entry == AUTO and name.lower() in ALIASES[label])
            if named and not of_atoms:
                return "virial" if label == "stress" and is_virial(name) else label
        if name in keys.targets:
            return "target"
        if name in EXTRAS and (known != COLUMN or name == RELAXED_POSITIONS):
            return EXTRAS[name]
        return known

    return {
        name: role(name, known) if known in ("", COLUMN, EQUAL) else known
        for name, known in names.items()
    }


def unused_labels(names: Mapping[str, str], keys: Keys) -> list[str]:
    """Return the names of a file that suggest a label or a weight, and are not used.

    Other usual names of a label that the keys name or ignore are left out.
    """
    chosen = [
        name for name in ("energy", "forces", "stress", "weight") if getattr(keys, name) != AUTO
    ]
    silent = {name for label in chosen for name in ALIASES[label]} | _NO_LABELS
    return [
        name
        for name, role in roles(names, keys).items()
        if role in ("", COLUMN) and _LABEL_LIKE.search(name) and name.lower() not in silent
    ]


def is_virial(name: str) -> bool:
    """Return whether the stress label of this name is a virial, -stress * volume."""
    return "virial" in name.lower()


@cache
def _plain(unit: str) -> str:
    """One spelling of each unit: the ångström sign and raised digits have several."""
    return unicodedata.normalize("NFKC", unit).strip().lower()


def _factor(unit: str, table: dict[str, float], name: str, known: str) -> float:
    if _plain(unit) not in table:
        raise DataError(f"keys.{name} is '{unit}', expected one of {known}")
    return table[_plain(unit)]


def _quotient(unit: str, name: str, known: str, power: int) -> float:
    """Factor of energy/length (power 1) or energy/length³ (power 3)."""
    energy, slash, length = _plain(unit).rpartition("/")
    match = re.fullmatch(r"(.+?)(?:\^|\*\*)?(3)?", length)
    has_power = match is not None and (match[2] is not None) == (power == 3)
    if not (slash and has_power and match and energy in _ENERGIES and match[1] in _LENGTHS):
        raise DataError(f"keys.{name} is '{unit}', expected a unit such as {known}")
    return _ENERGIES[energy] / _LENGTHS[match[1]] ** power
