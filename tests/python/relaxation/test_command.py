"""`torchml relax`."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import lmdb
import numpy as np
import pytest
from ase.constraints import FixCartesian
from ase.io import write

from helpers.relaxing import metals, silicon
from torchml import cli
from torchml.data import Configuration
from torchml.data.writing import write_aselmdb, write_extxyz
from torchml.inference.call_size import CALL_SECONDS, MOST_EDGES_ON_GPU
from torchml.relaxation import command, session


@pytest.fixture
def data(tmp_path):
    """Ten structures with ids."""
    path = tmp_path / "structures.extxyz"
    write_extxyz([Configuration.from_atoms(atoms) for atoms in silicon(10)], path)
    return str(path)


@pytest.fixture
def model(example):
    return str(example("sw", "edges").archive)


def test_a_file_is_relaxed(data, model, tmp_path, capsys):
    words = ["relax", model, data, "--output", "out", "--fmax", "0.05", "--trajectories"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "10 structures relaxed" in shown and "wrote out" in shown
    out = tmp_path / "out"
    assert len(list((out / "trajectories").iterdir())) == 10
    assert (out / "relaxation.png").read_bytes().startswith(b"\x89PNG")
    records = [json.loads(line) for line in (out / "results_0.jsonl").open()]
    assert all(record["fmaxes"][-1] <= 0.05 for record in records)
    settings = json.loads((out / "settings.json").read_text())
    assert settings["fmax"] == 0.05 and settings["optimizer"] == "lbfgs"
    # The same command again has nothing to do.
    assert cli.main(words) == 0
    assert sum(1 for _ in (out / "results_0.jsonl").open()) == 10


def test_chosen_ids(data, model, tmp_path, capsys):
    words = ["relax", model, data, "--output", "out", "--steps", "2", "--ids", "random3", "random1"]
    assert cli.main(words) == 0
    ids = np.load(tmp_path / "out" / "relaxed_positions.npz")["ids"]
    assert ids.tolist() == ["random1", "random3"]
    assert "not converged" in capsys.readouterr().out
    assert cli.main([*words, "nothing"]) == 1
    sentence = "no structure has the id 'nothing', expected ids such as random0, random1, random2"
    assert sentence in capsys.readouterr().err


def test_an_unknown_element_is_found_before_the_first_step(model, tmp_path, capsys):
    path = tmp_path / "mixed.extxyz"
    write_extxyz([Configuration.from_atoms(a) for a in [*silicon(2), *metals(1)]], path)
    assert cli.main(["relax", model, str(path), "--output", "out"]) == 1
    shown = capsys.readouterr().err
    assert f"structure 'slab0' ({path}, configuration 2): the structure holds Cu" in shown
    assert not (tmp_path / "out").exists()


def test_a_structure_that_explodes_is_counted(data, model, monkeypatch, capsys):
    from torchml.inference.many import ManyStructures

    evaluate = ManyStructures.evaluate_each

    def exploding(self, structures, **keywords):
        results = evaluate(self, structures, **keywords)
        bad = [atoms.info["sid"] == "random4" for atoms in structures]
        return [
            replace(result, forces=result.forces * np.nan) if explodes else result
            for result, explodes in zip(results, bad, strict=True)
        ]

    monkeypatch.setattr(ManyStructures, "evaluate_each", exploding)
    assert cli.main(["relax", model, data, "--output", "out", "--steps", "1"]) == 1
    shown = capsys.readouterr()
    assert "failed: structure 'random4': after 0 steps the energy is" in shown.err
    assert "1 of 10 structures failed" in shown.err
    assert "failed" in shown.out


def test_options_of_flags():
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    def options(*words):
        return command.relax_options(parser.parse_args(["m", "d", "--output", "o", *words]))

    assert options().cell is None and options().damping == 1.2
    old = options("--version-of-ocp", "2021", "--steps", "7")
    assert (old.history, old.steps, old.alpha) == ("shared", 7, 70.0)
    cell = options("--strains", "xx", "yy", "--scalar-pressure", "0.01").cell
    assert (cell.components, cell.scalar_pressure) == (("xx", "yy"), 0.01)
    assert options("--relax-cell").cell.components == ("xx", "yy", "zz", "yz", "xz", "xy")


def test_the_help_has_the_defaults(capsys):
    with pytest.raises(SystemExit):
        cli.main(["relax", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"about {1000 * CALL_SECONDS:g} ms on a CPU, {MOST_EDGES_ON_GPU:,} on a GPU" in shown


def test_labels_do_not_matter(model, tmp_path, capsys):
    path = tmp_path / "labelled.extxyz"
    path.write_text("2\nenergy=nan forces=none\nSi 0 0 0\nSi 0 0 2.2\n")
    assert cli.main(["relax", model, str(path), "--output", "out"]) == 0
    assert "1 structures relaxed" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["traj", "extxyz", "aselmdb"])
def test_constraints_in_files_are_not_lost(suffix, model, tmp_path, capsys):
    atoms = silicon(1)[0]
    path = tmp_path / f"constrained.{suffix}"
    if suffix == "aselmdb":
        configuration = Configuration.from_atoms(atoms)
        configuration = replace(configuration, fixed=np.arange(len(atoms)) < 1)
        write_aselmdb([configuration], path)
        _constrain_rows(path)
    else:
        atoms.set_constraint(FixCartesian([0, 1], (True, False, False)))
        write(path, atoms)
    assert cli.main(["relax", model, str(path), "--output", "out"]) == 1
    shown = capsys.readouterr().err
    assert f"constrained.{suffix}, configuration 0): a structure has the constraint" in shown
    assert ("move_mask" if suffix == "extxyz" else "FixCartesian") in shown
    assert not (tmp_path / "out").exists()


def _constrain_rows(path):
    """Let the first row of a database of ASE have a constraint in one direction."""
    with lmdb.open(str(path), subdir=False, lock=False) as file, file.begin(write=True) as changes:
        row = json.loads(zlib.decompress(changes.get(b"1")))
        kwargs = {"a": [0], "mask": [True, False, False]}
        row["constraints"] = [{"name": "FixCartesian", "kwargs": kwargs}]
        changes.put(b"1", zlib.compress(json.dumps(row).encode()))


def test_an_interrupt_says_how_to_go_on(data, model, tmp_path, monkeypatch, capsys):
    relax_all = session.relax_all

    def interrupted(*arguments):
        yield next(relax_all(*arguments))
        raise KeyboardInterrupt

    words = ["relax", model, data, "--output", "out", "--fmax", "0.05"]
    with monkeypatch.context() as patch:
        patch.setattr(session, "relax_all", interrupted)
        assert cli.main(words) == 130
    sentence = "interrupted: out has the results of the structures that ended; the same command"
    assert sentence in capsys.readouterr().err
    journal = tmp_path / "out" / "results_0.jsonl"
    first = journal.read_bytes()
    assert first.count(b"\n") == 1
    assert cli.main(words) == 0
    assert journal.read_bytes().startswith(first) and journal.read_bytes().count(b"\n") == 10
