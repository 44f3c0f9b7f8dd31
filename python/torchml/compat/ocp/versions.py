"""What differs between the versions of OCP: defaults, names of metrics, units of the schedule.

2021 is the code of early 2021 (`ocpmodels`), 2024 that of mid 2024 (`fairchem.core` 1.x). Where the
documentation of OCP says something else, the code is followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Version:
    """Defaults and names of a version of OCP.

    Attributes:
        name: 2021 or 2024.
        schedule_unit: unit of milestones and warm-up, epoch or step.
        force_loss: the loss of forces where the configuration names none.
        summed_components: losses add the components of a force, and do not average them.
        includes_override: included files replace what the main file says, not the other way round.
        relaxation_steps: largest number of steps of a relaxation.
        relaxation_fmax: force at which a relaxation ends (eV/Å).
        maxstep: longest move of an atom in a step, before damping (Å).
        damping: factor of the steps.
        alpha: guess of the Hessian (eV/Å²).
        metrics: our name of a metric by OCP's, for each kind of task.
        primary: OCP's name of the metric that chooses the best checkpoint, for each kind of task.
    """

    name: str
    schedule_unit: str
    force_loss: str
    summed_components: bool
    includes_override: bool
    relaxation_steps: int
    relaxation_fmax: float
    maxstep: float
    damping: float
    alpha: float
    metrics: Mapping[str, Mapping[str, str]]
    primary: Mapping[str, str]


_IS2RE = {
    "energy_mae": "energy_mae",
    "energy_mse": "energy_rmse",  # squared by `metric_values`
    "energy_within_threshold": "ewt",
}
_FORCES = {
    "forcesx_mae": "forces_x_mae",
    "forcesy_mae": "forces_y_mae",
    "forcesz_mae": "forces_z_mae",
    "forces_mae": "forces_mae",
}

VERSIONS = {
    "2021": Version(
        name="2021",
        schedule_unit="epoch",
        force_loss="mae",
        summed_components=False,
        includes_override=True,
        relaxation_steps=200,
        relaxation_fmax=0.0,
        maxstep=0.04,
        damping=1.0,
        alpha=70.0,
        metrics={
            "is2re": _IS2RE,
            "s2ef": _FORCES
            | {
                "forces_cos": "forces_cosine",
                "forces_magnitude": "forces_magnitude",
                "energy_mae": "energy_mae",
                "energy_force_within_threshold": "efwt",
            },
        },
        primary={"is2re": "energy_mae", "s2ef": "energy_force_within_threshold"},
    ),
    "2024": Version(
        name="2024",
        schedule_unit="step",
        force_loss="l2mae",
        summed_components=True,
        includes_override=False,
        relaxation_steps=300,
        relaxation_fmax=0.02,
        maxstep=0.2,
        damping=1.2,
        alpha=80.0,
        metrics={
            "is2re": _IS2RE,
            "s2ef": {"energy_mae": "energy_mae"}
            | _FORCES
            | {
                "forces_cosine_similarity": "forces_cosine",
                "forces_magnitude_error": "forces_magnitude",
                "energy_forces_within_threshold": "efwt",
            },
        },
        primary={"is2re": "energy_mae", "s2ef": "energy_forces_within_threshold"},
    ),
}

_LARGER_IS_BETTER = ("ewt", "efwt", "forces_cosine")
# Keys that only one of the versions reads: (section, key); no section for the top level.
_OF_2024 = (
    *(("", key) for key in ("loss_functions", "loss_fns", "outputs", "evaluation_metrics")),
    *(("optim", key) for key in ("warmup_steps", "scheduler", "optimizer", "ema_decay")),
    *(
        ("optim", key)
        for key in ("clip_grad_norm", "checkpoint_every", "loss_force", "loss_forces")
    ),
)
_OF_2021 = (("optim", "warmup_epochs"), ("optim", "update_lr_on_step"))


def choose(name: str | None, parts: Sequence[Mapping[str, Any]]) -> tuple[Version, str]:
    """Return the version, and why it is this one.

    Args:
        name: the one that was asked for; None to see it from the keys.
        parts: the configuration, and the files that it includes.

    Raises:
        TorchMLError: no version has this name.
    """
    if name is not None:
        if str(name) not in VERSIONS:
            raise TorchMLError(f"version_of_ocp is {name!r}, expected {' or '.join(VERSIONS)}")
        return VERSIONS[str(name)], "it was asked for"
    for wanted, known in (("2021", _OF_2021), ("2024", _OF_2024)):
        for section, key in known:
            if any(key in _section(part, section) for part in parts):
                return VERSIONS[
                    wanted
                ], f"the configuration has {section}{'.' * bool(section)}{key}"
    if any(isinstance(part.get("dataset"), Mapping) for part in parts):
        return VERSIONS["2024"], "dataset has the keys train, val, test"
    return VERSIONS["2021"], "the configuration has no key of later versions"


def monitor(version: Version, kind: str, primary: str | None) -> tuple[str, str]:
    """Return our metric for OCP's primary metric, and whether small (min) or large (max) is good.

    Raises:
        TorchMLError: the metric is none of OCP's for this kind of task.
    """
    names = {name: ours for one in VERSIONS.values() for name, ours in one.metrics[kind].items()}
    name = primary or version.primary[kind]
    if name != "loss" and name not in names:
        raise TorchMLError(
            f"the primary metric is '{name}', expected one of {', '.join(['loss', *names])}"
        )
    ours = names.get(name, "loss")
    return f"val/{ours}", "max" if ours in _LARGER_IS_BETTER else "min"


def metric_values(version: Version, kind: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under OCP's names, as far as they were computed, and the loss.

    Args:
        kind: s2ef or is2re.
        metrics: ours by name, such as val/energy_mae.
    """
    values = {
        name: metrics[f"val/{ours}"] ** 2 if name == "energy_mse" else metrics[f"val/{ours}"]
        for name, ours in version.metrics[kind].items()
        if f"val/{ours}" in metrics
    }
    return values | ({"loss": metrics["val/loss"]} if "val/loss" in metrics else {})


def _section(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = part.get(name, {}) if name else part
    return section if isinstance(section, Mapping) else {}
