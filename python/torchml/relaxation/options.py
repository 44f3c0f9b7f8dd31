"""What a relaxation does: optimiser, limits, and the settings of versions of OCP by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torchml.errors import DataError

STRAINS = ("xx", "yy", "zz", "yz", "xz", "xy")
OPTIMIZERS = ("lbfgs", "fire", "bfgs-linesearch")
_CHOICES = {
    "optimizer": OPTIMIZERS,
    "history": ("per_system", "shared"),
    "frames": ("consistent", "lagging"),
    "check": ("before_move", "after_move"),
}
# alpha where the user gives none, eV/Å².
_ALPHA = {"lbfgs": 80.0, "fire": 0.0, "bfgs-linesearch": 10.0}
# Options that not all optimisers have.
_LBFGS_ALONE = ("lbfgs",)
_OWNERS = {
    "memory": _LBFGS_ALONE,
    "damping": _LBFGS_ALONE,
    "history": _LBFGS_ALONE,
    "alpha": ("lbfgs", "bfgs-linesearch"),
}
# What differs from the defaults, which are those of the middle of 2024. Early 2021 has no default
# of `memory`; 50 is that of its documented configurations.
_VERSIONS: dict[str, dict[str, Any]] = {
    "2021": {
        **{"maxstep": 0.04, "damping": 1.0, "alpha": 70.0, "memory": 50},
        **{"fmax": 0.0, "steps": 200},
        **{"history": "shared", "frames": "lagging", "check": "after_move"},
    },
    "2024": {},
    "fairchem-1.10": {"maxstep": 0.02, "alpha": 100.0},
}
VERSIONS = tuple(_VERSIONS)


@dataclass(frozen=True)
class CellOptions:
    """Relaxation of the cell beside the atoms.

    Attributes:
        components: of the strain that may change, names in the order xx yy zz yz xz xy.
        isotropic: change the volume only, not the shape.
        scalar_pressure: external pressure, eV/Å³ (1 GPa is 0.00624 eV/Å³).
    """

    components: tuple[str, ...] = STRAINS
    isotropic: bool = False
    scalar_pressure: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(self.components))
        if not self.components or not set(self.components) <= set(STRAINS):
            raise DataError(
                f"the components of the strain are {' '.join(self.components) or 'none'}, "
                f"expected some of {' '.join(STRAINS)}"
            )
        if self.isotropic and set(self.components) != set(STRAINS):
            raise DataError(
                f"an isotropic strain was requested with the components "
                f"{' '.join(self.components)}, expected all of {' '.join(STRAINS)}"
            )
        _require_finite("scalar_pressure", self.scalar_pressure)


@dataclass(frozen=True)
class RelaxOptions:
    """Settings that the result of a relaxation depends on.

    The defaults are those of OCP in the middle of 2024.

    Attributes:
        optimizer: lbfgs, fire or bfgs-linesearch.
        fmax: a structure is relaxed when the force on no free atom is larger, eV/Å.
        steps: largest number of moves.
        maxstep: longest move of an atom, Å. lbfgs scales the whole move of a structure to it and
            then applies `damping`; fire limits the norm of the move of all atoms.
        memory: lbfgs: number of moves that are remembered.
        damping: lbfgs: factor of each move.
        alpha: curvature that the first move assumes, eV/Å²; 80 of lbfgs and 10 of bfgs-linesearch
            if None.
        history: per_system, or shared: lbfgs has one history for a whole batch, which stops when
            all its structures are relaxed, so that a result depends on what shares the batch.
        frames: consistent, or lagging: trajectories contain each new position with the energy and
            the forces of before the move, and no initial frame.
        check: before_move, or after_move: one more move follows after the forces are small enough.
        cell: how the cell relaxes; None keeps it.

    Raises:
        DataError: a value is not possible.
    """

    optimizer: str = "lbfgs"
    fmax: float = 0.02
    steps: int = 300
    maxstep: float = 0.2
    memory: int = 100
    damping: float = 1.2
    alpha: float | None = None
    history: Literal["per_system", "shared"] = "per_system"
    frames: Literal["consistent", "lagging"] = "consistent"
    check: Literal["before_move", "after_move"] = "before_move"
    cell: CellOptions | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise DataError(f"{name} is '{value}', expected one of {', '.join(choices)}")
        if self.history == "shared" and self.optimizer != "lbfgs":
            raise DataError(
                f"a shared history was requested of {self.optimizer}, expected the optimizer lbfgs"
            )
        for name, least in (("steps", 0), ("memory", 1)):
            if getattr(self, name) < least:
                raise DataError(f"{name} is {getattr(self, name)}, expected {least} or more")
        _require_finite("fmax", self.fmax, least=0.0)
        for name in ("maxstep", "damping"):
            _require_finite(name, getattr(self, name), above=0.0)
        if self.alpha is not None:
            _require_finite("alpha", self.alpha, above=0.0)

    @property
    def curvature(self) -> float:
        """`alpha`, or the default of the optimiser, eV/Å²."""
        return _ALPHA[self.optimizer] if self.alpha is None else self.alpha

    @classmethod
    def of_version(cls, version: str, **changes: Any) -> RelaxOptions:
        """Return the settings of a version of OCP: 2021, 2024 or fairchem-1.10.

        Args:
            version: early 2021 (`--mode run-relaxations`), middle of 2024, or fairchem-core 1.10.
            changes: values that replace those of the version, of which another optimiser than
                lbfgs takes those that it has.

        Raises:
            DataError: no version has this name, a value is not possible, or a change is an option
                that the optimiser does not have.
        """
        if version not in _VERSIONS:
            raise DataError(f"the version is '{version}', expected one of {', '.join(VERSIONS)}")
        optimizer = changes.get("optimizer", cls.optimizer)

        def has(name: str) -> bool:
            return optimizer in _OWNERS.get(name, OPTIMIZERS)

        for name in set(changes) & set(_OWNERS) - {"history"}:
            if optimizer in OPTIMIZERS and not has(name):
                raise DataError(
                    f"{name} was given, which {optimizer} does not have, expected it with "
                    f"{' or '.join(_OWNERS[name])}"
                )
        settings = {name: value for name, value in _VERSIONS[version].items() if has(name)}
        return cls(**{**settings, **changes})


def _require_finite(
    name: str, value: float, *, least: float | None = None, above: float | None = None
) -> None:
    wrong = not math.isfinite(value)
    wrong |= least is not None and value < least
    wrong |= above is not None and value <= above
    if wrong:
        limit = f" of {least:g} or more" if least is not None else ""
        limit = f" above {above:g}" if above is not None else limit
        raise DataError(f"{name} is {value}, expected a finite number{limit}")
