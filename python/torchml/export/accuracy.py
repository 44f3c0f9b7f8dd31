"""Loss of accuracy by splines or float32."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from ase import Atoms

from torchml.export.compression import Compression, compress
from torchml.models import EdgeModel, describe
from torchml.reference.agreement import Check
from torchml.reference.model import EagerModel
from torchml.reference.structures import default_structures

_STRONG = 10.0  # eV/Å


@dataclass(frozen=True)
class Tolerance:
    """The largest errors that a compressed model may have.

    In structures with forces beyond 10 eV/Å errors count in proportion: a force of 1000 eV/Å
    between atoms that nearly coincide may be off by a hundred times as much.

    Attributes:
        energy: eV per atom.
        force: eV/Å.
    """

    energy: float = 1e-6
    force: float = 1e-5

    def allows(self, errors: Errors) -> bool:
        return errors.energy <= self.energy and errors.force <= self.force  # False for NaN


@dataclass(frozen=True)
class Errors:
    """The largest errors of a model against the exact one.

    Errors in structures with forces beyond 10 eV/Å are reduced in proportion.

    Attributes:
        energy: eV per atom.
        force: eV/Å, of a component.
        rms: eV/Å, of the components.
        largest: force component (eV/Å).
        structures: number of structures.
    """

    energy: float
    force: float
    rms: float
    largest: float
    structures: int

    def __str__(self) -> str:
        return (
            f"largest errors {self.energy:.1e} eV/atom and {self.force:.1e} eV/Å (rms "
            f"{self.rms:.1e}) in {self.structures} structures with forces up to "
            f"{self.largest:.3g} eV/Å"
        )


def errors_of(other: EdgeModel, exact: EdgeModel) -> Errors:
    """Compare both models on crystals, clusters, and close and distant pairs of all species."""
    models = [_evaluator(exact), _evaluator(other)]
    energy, largest, force_errors = 0.0, 0.0, [np.zeros(1)]
    structures = comparison_structures(exact.species, exact.cutoff)
    for atoms in structures:
        one, two = (model.evaluate(atoms) for model in models)
        forces = np.asarray(one.forces)
        strength = float(np.abs(forces).max())
        scale = max(1.0, strength / _STRONG)
        change = float(np.asarray(two.energy) - np.asarray(one.energy))
        energy = max(energy, abs(change) / len(atoms) / scale)
        force_errors.append((np.asarray(two.forces) - forces).ravel() / scale)
        largest = max(largest, strength)
    components = np.concatenate(force_errors)
    return Errors(
        energy=energy,
        force=float(np.abs(components).max()),
        rms=float(np.sqrt((components**2).mean())),
        largest=largest,
        structures=len(structures),
    )


def compress_within(model: EdgeModel, tolerance: Tolerance) -> tuple[Compression, Errors]:
    """Return the smallest splines with errors within the tolerance, or the most accurate."""
    for accuracy in (1e-8, 1e-9, 1e-10, 1e-11):
        made = compress(model, accuracy)
        errors = errors_of(made.model, model)
        if tolerance.allows(errors):
            break
    return made, errors


def comparison_structures(species: list[str], cutoff: float) -> list[Atoms]:
    """Those of `torchml validate`; pairs from a tenth of the cutoff to its end; dense clusters."""
    structures = list(default_structures(species, cutoff).values())
    pairs = [(a, b) for k, a in enumerate(species) for b in species[k:]][:20]
    for number, pair in enumerate(pairs):
        for r in np.linspace(0.1, 1.0, 12, endpoint=False) + 0.07 * number / len(pairs):
            structures.append(Atoms(pair, positions=[[0, 0, 0], [0.48 * r, 0.6 * r, 0.64 * r]]))
            structures[-1].positions *= cutoff
    rng = np.random.default_rng(7)
    for _ in range(4):
        positions = np.empty((0, 3))
        for candidate in rng.uniform(0, 1.2 * cutoff, (4000, 3)):
            if (np.linalg.norm(positions - candidate, axis=1) > 0.3 * cutoff).all():
                positions = np.vstack([positions, candidate])
            if len(positions) == 24:
                break
        symbols = [species[k] for k in rng.integers(0, len(species), len(positions))]
        structures.append(Atoms(symbols, positions=positions))
    return structures


def check_compression(made: Compression, errors: Errors, tolerance: Tolerance) -> Check:
    words = f"{made.functions} splines, {made.bytes / 2**10:.0f} KiB"
    good = tolerance.allows(errors)
    limit = f", expected at most {tolerance.energy:g} eV/atom and {tolerance.force:g} eV/Å"
    return Check(
        "compressed", "pass" if good else "fail", f"{words}: {errors}{'' if good else limit}"
    )


def check_float32(errors: Errors) -> Check:
    """Report the loss of accuracy; only errors that are not finite fail."""
    verdict = "pass" if np.isfinite(errors.force) else "fail"
    return Check("float32 against float64", verdict, str(errors))


def _evaluator(model: EdgeModel) -> EagerModel:
    facts = replace(describe(model, "edges"), radial=None)
    spec = SimpleNamespace(
        species=list(model.species),
        cutoff=model.cutoff,
        layers=model.layers,
        species_input="code",
        input_dtype=facts.input_dtype or facts.dtype,
    )
    return EagerModel(model, spec)
