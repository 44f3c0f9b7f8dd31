"""Files of leaderboards: names, types, free atoms, order of ids, against loops written out here."""

from __future__ import annotations

import json

import numpy as np
import pytest

from torchml.errors import DataError
from torchml.evaluation import Predictions, write_json, write_leaderboard
from torchml.evaluation.leaderboard import OC20

COUNTS = (3, 1, 4, 2, 5)
SIDS = ("10", "9", "100", "9", "2")
FIDS = ("0", "7", "1", "70", "3")


def predictions(sids=SIDS, fids=FIDS, counts=COUNTS, seed=0, **changes) -> Predictions:
    rng = np.random.default_rng(seed)
    atoms = sum(counts)
    values = {
        "names": [f"data, configuration {k}" for k in range(len(counts))],
        "sids": list(sids),
        "fids": list(fids),
        "counts": np.array(counts),
        "fixed": rng.random(atoms) < 0.4,
        "energies": rng.normal(size=len(counts)),
        "forces": rng.normal(size=(atoms, 3)),
    }
    return Predictions(**values | changes)


def read(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def written(path, *arguments, **options) -> dict[str, np.ndarray]:
    write_leaderboard(arguments[0], path, *arguments[1:], **options)
    return read(path)


def rows(p: Predictions, free_only: bool):
    """Energy and forces of each structure, cut out of the arrays with a loop."""
    begin = 0
    for k, count in enumerate(p.counts):
        atoms = range(begin, begin + count)
        begin += count
        kept = [p.forces[a] for a in atoms if not (free_only and p.fixed[a])]
        yield p.energies[k], np.array(kept).reshape(-1, 3)


def check(found, ids, order, p, energy_type, force_type, free_only, rounded=None) -> None:
    assert list(found) == ["ids", "energy", "forces", "chunk_idx"]
    assert found["ids"].tolist() == [ids[k] for k in order]
    assert found["ids"].dtype.kind == "U"
    of_structure = list(rows(p, free_only))
    energies = [np.asarray(of_structure[k][0]).astype(rounded or energy_type) for k in order]
    assert found["energy"].dtype == energy_type
    assert found["energy"].tolist() == [float(energy) for energy in energies]
    assert found["forces"].dtype == force_type
    assert found["chunk_idx"].dtype == np.int64
    parts = np.split(found["forces"], found["chunk_idx"])
    assert len(parts) == len(order)
    for part, k in zip(parts, order, strict=True):
        np.testing.assert_array_equal(part, of_structure[k][1].astype(force_type))


IDS = [f"{sid}_{fid}" for sid, fid in zip(SIDS, FIDS, strict=True)]
SORTED = [2, 0, 4, 1, 3]  # "100_1", "10_0", "2_3", "9_7", "9_70": "_" comes after digits


def test_s2ef_of_2021(tmp_path) -> None:
    p = predictions()
    found = written(tmp_path / "a.npz", p, 2021)
    check(found, IDS, SORTED, p, np.float64, np.float16, True, rounded=np.float16)


def test_s2ef_of_2024(tmp_path) -> None:
    p = predictions()
    check(written(tmp_path / "a.npz", p, 2024), IDS, SORTED, p, np.float16, np.float16, True)
    found = written(tmp_path / "a.npz", p, 2024, dtype="float32")
    check(found, IDS, SORTED, p, np.float32, np.float32, True)


def test_s2ef_of_2026(tmp_path) -> None:
    sids = ("b", "a", "10", "9", "c")
    p = predictions(sids)
    found = written(tmp_path / "a.npz", p, 2026)
    check(found, sids, range(5), p, np.float64, np.float64, False)


@pytest.mark.parametrize(
    ("version", "dtype", "order"),
    [
        (2021, np.float64, [2, 1, 0, 3, 4]),
        (2024, np.float16, [2, 1, 0, 3, 4]),
        (2026, np.float64, range(5)),
    ],
)
def test_is2re(version, dtype, order, tmp_path) -> None:
    sids = ("20", "101", "100", "9", "91")
    p = predictions(sids, forces=None)
    found = written(tmp_path / "a.npz", p, version, "is2re")
    assert list(found) == ["ids", "energy"]
    assert found["ids"].tolist() == [sids[k] for k in order]
    assert found["energy"].dtype == dtype
    np.testing.assert_array_equal(found["energy"], p.energies[list(order)].astype(dtype))


def test_no_free_atom_and_a_single_structure(tmp_path) -> None:
    fixed = np.zeros(sum(COUNTS), bool)
    fixed[3] = True  # the only atom of structure 1, which is "9_7"
    p = predictions(fixed=fixed)
    check(written(tmp_path / "a.npz", p, 2024), IDS, SORTED, p, np.float16, np.float16, True)
    alone = p.take([2])
    found = written(tmp_path / "a.npz", alone, 2024)
    assert found["chunk_idx"].shape == (0,) and found["chunk_idx"].dtype == np.int64


def test_splits_get_prefixes(tmp_path) -> None:
    parts = {split: predictions(seed=k) for k, split in enumerate(OC20)}
    found = written(tmp_path / "all.npz", parts, 2024)
    assert len(found) == 16
    for split, part in parts.items():
        for name, values in written(tmp_path / "one.npz", part, 2024).items():
            np.testing.assert_array_equal(found[f"{split}_{name}"], values)


def test_oc22_is_float32(tmp_path) -> None:
    parts = {"id": predictions(), "ood": predictions(seed=1)}
    found = written(tmp_path / "all.npz", parts, 2024)
    assert found["id_energy"].dtype == found["ood_forces"].dtype == np.float32
    assert written(tmp_path / "all.npz", parts, 2021)["id_forces"].dtype == np.float16


def test_missing_splits_are_named(tmp_path, caplog) -> None:
    write_leaderboard({"id": predictions()}, tmp_path / "a.npz", 2024)
    assert "ood_ads, ood_cat, ood_both is missing" in caplog.text


def test_an_unknown_split_is_one_sentence(tmp_path) -> None:
    with pytest.raises(DataError, match=r"'ood_cta' is unknown, expected id, ood_ads"):
        write_leaderboard({"ood_cta": predictions()}, tmp_path / "a.npz")
    with pytest.raises(DataError, match="'ood_ads' is unknown"):
        write_leaderboard({"ood": predictions(), "ood_ads": predictions()}, tmp_path / "a.npz")


def test_duplicates_are_written_once(tmp_path) -> None:
    p = predictions()
    twice = p.take([0, 1, 2, 0, 3, 4, 2])
    found = written(tmp_path / "a.npz", twice, 2021)
    check(found, IDS, SORTED, p, np.float64, np.float16, True, rounded=np.float16)


@pytest.mark.parametrize("what", ["energies", "forces", "counts"])
def test_duplicates_that_differ_are_one_sentence(what, tmp_path) -> None:
    p = predictions()
    twice = Predictions.join([p, p.take([1])])
    write_leaderboard(twice, tmp_path / "a.npz", 2021)
    if what == "counts":
        twice = Predictions.join([p, predictions(["9"], ["7"], counts=[2])])
    else:
        getattr(twice, what)[-1] += 0.01
    with pytest.raises(DataError, match=r"configuration 1 have the id '9_7' and different pred"):
        write_leaderboard(twice, tmp_path / "a.npz", 2021)


def test_frames_of_one_system_have_no_ids_of_their_own_today(tmp_path) -> None:
    """Sids 9 of SIDS."""
    with pytest.raises(DataError, match=r"have the id '9' .* 2021 and 2024 join from sid and fid"):
        write_leaderboard(predictions(), tmp_path / "a.npz", 2026)


def test_a_structure_without_an_id_is_named(tmp_path) -> None:
    p = predictions(("1", "2", None, "4", "5"))
    for version in (2021, 2024, 2026):
        with pytest.raises(DataError, match="data, configuration 2 has no id, expected a sid"):
            write_leaderboard(p, tmp_path / "a.npz", version)


@pytest.mark.parametrize("value", [7e4, np.nan])
def test_values_beyond_the_type_are_named(value, tmp_path) -> None:
    sids = ("1", "2", "3", "4", "5")
    p = predictions(sids)
    p.energies[3] = value
    with pytest.raises(DataError, match=r"configuration 3: the predicted energy contain"):
        write_leaderboard(p, tmp_path / "a.npz", 2021)
    p = predictions(sids)
    p.forces[3] = value  # the only atom of structure 1
    with pytest.raises(DataError, match=r"configuration 1: the predicted forces contain .*float16"):
        write_leaderboard(p, tmp_path / "a.npz", 2024)


def test_forces_are_needed(tmp_path) -> None:
    for write in (write_leaderboard, write_json):
        with pytest.raises(DataError, match="hold no forces, expected them for the task s2ef"):
            write(predictions(forces=None), tmp_path / "a")


@pytest.mark.parametrize(("version", "task"), [(2022, "s2ef"), (2021, "is2rs")])
def test_unknown_layouts(version, task, tmp_path) -> None:
    with pytest.raises(DataError, match="unknown, expected"):
        write_leaderboard(predictions(), tmp_path / "a.npz", version, task)


def test_json(tmp_path) -> None:
    p = predictions()
    write_json(p, tmp_path / "predictions.json")
    found = json.loads((tmp_path / "predictions.json").read_text())
    for entry, (energy, forces) in zip(found, rows(p, free_only=False), strict=True):
        assert entry == {"energy": energy, "forces": forces.tolist()}
    write_json(p, tmp_path / "predictions.json", "is2re")
    assert json.loads((tmp_path / "predictions.json").read_text()) == p.energies.tolist()
    p.energies[1] = np.inf
    with pytest.raises(DataError, match="configuration 1: the prediction is not finite"):
        write_json(p, tmp_path / "predictions.json")


def test_bytes_keep_everything() -> None:
    p = predictions(stress=np.full((5, 6), np.nan), particle_energies=np.arange(15.0))
    q = Predictions.from_bytes(p.to_bytes())
    for name, value in vars(p).items():
        np.testing.assert_array_equal(getattr(q, name), value)
    assert q.fixed.dtype == bool and q.ids == [*IDS]


def test_joined_predictions_have_a_stress_where_one_has() -> None:
    p = predictions()
    stress = np.ones((5, 6))
    joined = Predictions.join([p, predictions(stress=stress)])
    assert np.isnan(joined.stress[:5]).all() and (joined.stress[5:] == 1).all()
    assert Predictions.join([p, p]).stress is None
