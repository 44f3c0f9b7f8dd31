"""The driver's engine alone, beside the bare model on the inputs that the engine prepared.

Unlike the calls noted inside LAMMPS, this shows a driver that slows the model itself down, by the
memory it touches for instance; but it is the difference of two large numbers, so mind its spread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common.programs import objects
from common.sheets import Sheet

from steps.runs import CELLS, KEEP_MEMORY, Case, steps_of
from steps.tables import digits
from steps.variants import VARIANTS, Models
from torchml.validation.installing import environment


@dataclass(frozen=True)
class Evaluation:
    """CPU time of one evaluation by the engine and of the bare model beside it, ms.

    build, pull_back: its two largest parts, inputs from lists and forces from derivatives.
    """

    evaluate: float
    model: float
    build: float
    pull_back: float


@dataclass
class Engine:
    """Evaluations of one variant at one size."""

    variant: str
    atoms: int
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def overhead(self) -> list[float]:
        """What the engine takes more than the model, % of the model, pair by pair."""
        return [100 * (one.evaluate / one.model - 1) for one in self.evaluations]

    def median(self, key: str) -> float:
        """Of one of the times, ms."""
        return float(np.median([getattr(one, key) for one in self.evaluations]))

    def summary(self) -> dict[str, object]:
        """What the history keeps."""
        times = {key: self.median(key) for key in ("evaluate", "model", "build", "pull_back")}
        overhead = float(np.median(self.overhead))
        return {"variant": self.variant, "atoms": self.atoms, **times, "overhead": overhead}


def run_engine(engine: Engine, models: Models, program: Path, seconds: float) -> None:
    """Engine and bare model in turn."""
    variant = VARIANTS[engine.variant]
    with environment(KIM_API_PORTABLE_MODELS_DIR=str(models.collection)):
        model = models.model_file(variant.model)
    rounds = steps_of(Case(engine.variant, engine.atoms), variant, seconds)
    # Or page faults of the bare model would be taken for the engine's gain. Nothing moves here, as
    # it must for ghosts to be folded.
    with environment(**KEEP_MEMORY, TORCHML_FOLDING="off"):
        command = [str(program), str(model), str(CELLS[engine.atoms]), str(rounds)]
        engine.evaluations.extend(Evaluation(**line) for line in objects(command))


def engine_sheet(engines: list[Engine]) -> Sheet:
    """The engine against the bare model."""
    sheet = Sheet(
        "The engine beside the bare model, one core, ghosts not folded",
        ["variant", "atoms"],
        ["engine ms", "model ms", "build ms", "back ms", "beyond %", "±"],
        "CPU time, medians. build: inputs from lists; back: forces from derivatives. beyond: "
        "engine / model - 1 of pairs timed one after the other, ± half the interquartile range.",
    )
    for engine in engines:
        if not engine.evaluations:
            continue
        low, middle, high = np.percentile(engine.overhead, [25, 50, 75])
        sheet.rows.append(
            [
                VARIANTS[engine.variant].name,
                f"{engine.atoms:,}",
                *(digits(engine.median(k)) for k in ("evaluate", "model", "build", "pull_back")),
                f"{middle:.1f}",
                f"{(high - low) / 2:.1f}",
            ]
        )
    return sheet
