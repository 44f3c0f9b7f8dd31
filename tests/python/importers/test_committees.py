"""Files and folders that become one committee."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import checkpoints
from helpers.committees import SPECIES, member, quartz
from torchml import Potential
from torchml.cli import export_main
from torchml.contract import metadata
from torchml.importers.committees import committee_of, files_of
from torchml.importers.opening import load
from torchml.models import describe, script

pytestmark = pytest.mark.usefixtures("quick_probe")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two checkpoints and an archive, and members that do not fit."""
    folder = tmp_path_factory.mktemp("members")
    found = {}
    models = {"a": member(0), "b": member(1), "c": member(2, SPECIES[::-1])}
    models |= {"silicon": member(3, ["Si"]), "three": member(4, layers=3)}
    for name, model in models.items():
        found[name] = checkpoints.save(model, folder / f"{name}.ckpt")
    archive = folder / "archive.pt"
    metadata.save(script(models["c"], "edges"), archive, describe(models["c"], "edges"))
    return found | {"archive": archive}


def export(files, names, *words):
    chosen = [str(files[name]) for name in names]
    return export_main([*chosen, "--name", "Committee", *words])


def exported():
    return Potential("Committee__MO_000000000000_000")


def test_checkpoints_and_archives_become_a_committee(files):
    assert export(files, ["a", "b", "archive"], "--committee") == 0
    found = exported().evaluate(quartz(), members=True).members
    alone = [Potential(files[name]).evaluate(quartz()) for name in ("a", "b", "archive")]
    np.testing.assert_allclose(found.energies, [one.energy for one in alone], rtol=1e-12)
    for forces, one in zip(found.forces, alone, strict=True):
        np.testing.assert_allclose(forces, one.forces, rtol=0, atol=1e-11)


def test_members_are_compressed_and_a_repulsion_is_added(files, capsys):
    """Splines change energies by less than they report; the repulsion is part of each member."""
    words = ["--committee", "--compress", "--add", "zbl:0.9,2.2"]
    assert export(files, ["a", "b"], *words) == 0
    report = capsys.readouterr().out
    assert "compressed: member 1" in report and "compressed: member 2" in report
    compressed = exported().evaluate(quartz(), members=True)
    assert export(files, ["a", "b"], "--committee", "--add", "zbl:0.9,2.2", "--overwrite") == 0
    exact = exported().evaluate(quartz(), members=True)
    np.testing.assert_allclose(compressed.members.forces, exact.members.forces, rtol=0, atol=1e-5)
    assert compressed.energy == pytest.approx(compressed.members.energies.mean(), rel=1e-12)
    assert not np.array_equal(compressed.members.forces, exact.members.forces)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "silicon"], "silicon.ckpt has the elements Si, but "),
        (["a", "b", "three"], "three.ckpt has the cutoffs 3 3 3 Å, but "),
        (["a"], "a committee has at least two members, but "),
    ],
)
def test_members_that_do_not_fit_are_refused(files, names, sentence, capsys):
    assert export(files, names, "--committee") == 1
    assert sentence in capsys.readouterr().err


def test_several_models_are_no_model(files, capsys):
    assert export(files, ["a", "b"]) == 1
    assert "2 models are given, expected one, or --committee" in capsys.readouterr().err


def test_the_name_says_what_it_is(files):
    loaded, _ = committee_of([load(files["a"]), load(files["b"])])
    assert loaded.name == "Committee_SchNet_SiO"


def test_a_folder_stands_for_its_members(files, tmp_path, capsys):
    for k in range(1, 12):
        folder = tmp_path / "run" / f"member{k}" / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "best.ckpt").touch()
    numbers = [path.parts[-3] for path in files_of([tmp_path / "run"])]
    assert numbers == [f"member{k}" for k in range(1, 12)]
    (tmp_path / "empty").mkdir()
    assert export_main([str(tmp_path / "empty"), "--committee"]) == 1
    assert "has no folders member1, member2, .." in capsys.readouterr().err
