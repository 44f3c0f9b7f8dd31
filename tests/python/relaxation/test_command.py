"""`torchml relax`."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.relaxing import metals, silicon
from torchml import cli
from torchml.data import Configuration
from torchml.data.writing import write_extxyz
from torchml.relaxation import command


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

    evaluate = ManyStructures.evaluate

    def exploding(self, structures, **keywords):
        results = evaluate(self, structures, **keywords)
        bad = [atoms.info["sid"] == "random4" for atoms in structures]
        return [
            replace(result, forces=result.forces * np.nan) if explodes else result
            for result, explodes in zip(results, bad, strict=True)
        ]

    monkeypatch.setattr(ManyStructures, "evaluate", exploding)
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
