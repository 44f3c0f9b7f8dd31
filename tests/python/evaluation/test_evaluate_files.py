"""Predictions in files: which belongs to which structure, and what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.evaluated import labelled_pairs, relaxed_configurations
from torchml.data.configuration import Configuration
from torchml.data.writing import write_extxyz
from torchml.errors import DataError, FileError
from torchml.evaluation import Relaxed, evaluate
from torchml.evaluation.evaluate_files import pair, read_predictions
from torchml.inference.evaluation import Evaluation

PAIRS = labelled_pairs(number=12)
CONFIGURATIONS = [c for c, _ in PAIRS]
SHUFFLED = np.random.default_rng(5).permutation(12).tolist()


def free(c: Configuration) -> np.ndarray:
    return np.ones(len(c), bool) if c.fixed is None else ~c.fixed


def arrays(prefix: str = "", all_atoms: bool = False) -> dict[str, Any]:
    """The arrays of a leaderboard, in another order than the data."""
    found = [PAIRS[k] for k in SHUFFLED]
    forces = [p.forces[slice(None) if all_atoms else free(c)] for c, p in found]
    return {
        f"{prefix}ids": np.array([f"{c.sid}_{c.fid}" for c, _ in found]),
        f"{prefix}energy": np.array([p.energy for _, p in found]),
        f"{prefix}forces": np.concatenate(forces),
        f"{prefix}chunk_idx": np.cumsum([len(f) for f in forces])[:-1],
    }


def scored(path: Path, configurations: list[Configuration] = CONFIGURATIONS, **options: Any):
    predicted = read_predictions(path, options.pop("split", None))
    return evaluate(pair(predicted, configurations, "data", **options)).metrics


def of_energies_and_forces() -> dict[str, float]:
    pairs = [(c, Evaluation(energy=p.energy, forces=p.forces)) for c, p in PAIRS]
    return evaluate(pairs).metrics


@pytest.mark.parametrize("all_atoms", [True, False])
def test_ids_find_shuffled_predictions(tmp_path: Path, all_atoms: bool) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, **arrays(all_atoms=all_atoms))
    assert scored(path) == pytest.approx(of_energies_and_forces(), rel=1e-12)


def test_splits(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, **arrays("id_"), **arrays("ood_ads_"))
    assert scored(path, split="ood_ads") == pytest.approx(of_energies_and_forces(), rel=1e-12)
    with pytest.raises(FileError, match="--split with one of id, ood_ads"):
        read_predictions(path)
    with pytest.raises(FileError, match="no split 'ood', expected one of its own: id, ood_ads"):
        read_predictions(path, "ood")
    np.savez(path, **arrays("id_"))
    assert scored(path) == pytest.approx(of_energies_and_forces(), rel=1e-12)


def test_json_is_in_the_order_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(
        json.dumps([{"energy": p.energy, "forces": p.forces.tolist()} for _, p in PAIRS])
    )
    assert scored(path) == pytest.approx(of_energies_and_forces(), rel=1e-12)
    path.write_text(json.dumps([p.energy for _, p in PAIRS]))
    metrics = scored(path)
    assert metrics["energy_mae"] == of_energies_and_forces()["energy_mae"]
    assert "forces_mae" not in metrics


def test_structures_with_predictions_beside_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "predictions.extxyz"
    write_extxyz(
        [
            replace(
                c,
                targets={
                    "predicted_energy": np.array(p.energy),
                    "predicted_forces": p.forces,
                    "predicted_stress": p.stress,
                },
            )
            for c, p in PAIRS
        ],
        path,
    )
    predicted = read_predictions(path)
    assert predicted.labelled is not None
    metrics = evaluate(pair(predicted, predicted.labelled, "itself")).metrics
    assert metrics == pytest.approx(evaluate(PAIRS).metrics, rel=1e-12)


def test_structures_of_other_programs_are_found_by_ids(tmp_path: Path) -> None:
    path = tmp_path / "other.extxyz"
    write_extxyz(
        [replace(c, energy=p.energy, forces=p.forces, stress=p.stress) for c, p in PAIRS], path
    )
    shuffled = [CONFIGURATIONS[k] for k in SHUFFLED]
    assert scored(path, shuffled) == pytest.approx(evaluate(PAIRS).metrics, rel=1e-12)
    nameless = [replace(c, sid=None, fid=None) for c in CONFIGURATIONS]
    assert scored(path, nameless) == pytest.approx(evaluate(PAIRS).metrics, rel=1e-12)
    with pytest.raises(DataError, match="has other atoms than random, configuration"):
        scored(path, nameless[::-1])


@pytest.mark.parametrize("form", ["npz", "json", "extxyz"])
def test_relaxed_positions(tmp_path: Path, form: str) -> None:
    configurations = relaxed_configurations()
    positions = [c.relaxed_positions + 0.01 * k for k, c in enumerate(configurations)]
    path = tmp_path / f"relaxed.{form}"
    if form == "npz":
        ends = np.cumsum([len(p) for p in positions])[:-1]
        ids = np.array([c.sid for c in configurations])
        np.savez(path, ids=ids, pos=np.concatenate(positions), chunk_idx=ends)
    elif form == "json":
        rows = [[c.sid, p.tolist()] for c, p in zip(configurations, positions, strict=True)]
        path.write_text(json.dumps(rows))
    else:
        write_extxyz(
            [
                replace(c, positions=p, energy=1.0)
                for c, p in zip(configurations, positions, strict=True)
            ],
            path,
        )
    predicted = read_predictions(path)
    assert predicted.has_positions == (form != "extxyz")
    found = evaluate(pair(predicted, configurations[::-1], "data", "is2rs"), "is2rs").metrics
    energies = 1.0 if form == "extxyz" else None
    expected = evaluate(
        [
            (c, Relaxed(p, None if energies is None else energies))
            for c, p in zip(configurations, positions, strict=True)
        ],
        "is2rs",
    ).metrics
    assert found == pytest.approx(expected, rel=1e-9)


def test_some_places(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, **arrays())
    places = range(1, 12, 2)
    pairs = list(pair(read_predictions(path), CONFIGURATIONS, "data", places=places))
    assert [c.index for c, _ in pairs] == list(places)


def test_ids_that_do_not_match_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, **arrays())
    more = [*CONFIGURATIONS, replace(CONFIGURATIONS[0], sid="new")]
    with pytest.raises(DataError, match=r"no prediction for 1 of 13 configurations .*: new_0"):
        scored(path, more)
    with pytest.raises(DataError, match=r"for 2 structures that are not in data: s5_[01], s5_[01]"):
        scored(path, CONFIGURATIONS[:-2])
    with pytest.raises(DataError, match="configurations 0 and 1 of data have the same id s0_0"):
        scored(path, [CONFIGURATIONS[0], *CONFIGURATIONS])
    with pytest.raises(DataError, match="configuration 0 of data has no id, expected sid"):
        scored(path, [replace(c, sid=None, fid=None) for c in CONFIGURATIONS])


def test_numbers_that_differ_are_named(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_text("[1.0, 2.0]")
    with pytest.raises(DataError, match="predictions for 2 structures, but data has 12"):
        scored(path)
    np.savez(tmp_path / "p.npz", **arrays())
    with pytest.raises(DataError, match=r"id s\d_\d has forces of \d atoms, expected \d as in"):
        scored(tmp_path / "p.npz", free_atoms_only=False)
    short = [{"energy": p.energy, "forces": p.forces[:0].tolist()} for _, p in PAIRS]
    path.write_text(json.dumps(short))
    with pytest.raises(DataError, match="structure 0 has forces of 0 atoms, expected"):
        scored(path)
    with pytest.raises(DataError, match="has no positions, expected relaxed ones"):
        scored(path, task="is2rs")


@pytest.mark.parametrize(("place", "where"), [(4, "here, but not"), (0, "for the first structure")])
def test_predictions_of_some_structures_alone(tmp_path: Path, place: int, where: str) -> None:
    path = tmp_path / "predictions.json"
    rows = [{"energy": p.energy, "forces": p.forces.tolist()} for _, p in PAIRS]
    del rows[place]["forces"]
    path.write_text(json.dumps(rows))
    with pytest.raises(
        DataError, match=rf"structure \d: predictions of forces are missing {where}"
    ):
        scored(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunk_idx": None}, "has forces without chunk_idx"),
        ({"chunk_idx": np.array([1, 2])}, "with 2 entries, does not cut forces"),
        ({"chunk_idx": np.full(11, 10_000)}, "does not cut forces"),
        ({"energy": np.zeros(3)}, "has 12 ids and 3 energies"),
        ({"energy": None, "forces": None}, "holds ids, chunk_idx, expected energy or pos"),
        ({"ids": np.array(["a"] * 12)}, "has the id 'a' twice"),
        ({"ids": None}, "holds energy, forces, chunk_idx, expected an array ids"),
        ({"ids": np.array([{}] * 12)}, "cannot be read"),
    ],
)
def test_damaged_arrays(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    content = {k: v for k, v in (arrays() | change).items() if v is not None}
    np.savez(tmp_path / "p.npz", **content)
    with pytest.raises(FileError, match=words):
        read_predictions(tmp_path / "p.npz")


@pytest.mark.parametrize("text", ["{}", "[[1]]", '["a"]', "[1.0", '[{"forces": []}]', "\x00"])
def test_damaged_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(FileError, match=r"p.json cannot be read, expected a list of energies"):
        read_predictions(path)


def test_absent_empty_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"absent.npz does not exist"):
        read_predictions(tmp_path / "absent.npz")
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(FileError, match="holds no predictions"):
        read_predictions(tmp_path / "p.json")
    np.savez(tmp_path / "p.npz", **arrays())
    (tmp_path / "p.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:500])
    with pytest.raises(FileError, match="cannot be read"):
        read_predictions(tmp_path / "p.npz")
