"""`torchml data convert`: every pair of formats keeps every field."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError, cli
from torchml.data import Keys, Weights, read, write_extxyz, write_lmdb
from torchml.data.tools.arguments import WRITERS
from torchml.data.tools.convert import check_equal, differences

TARGETS = Keys(targets=["dipole", "charges"])


def run(*words: str) -> int:
    return cli.main(["data", "convert", *words])


def complete():
    """Configurations with a value in every field; the fixed atoms of one are none."""
    rng = np.random.default_rng(1)
    return [
        replace(
            c,
            fixed=np.zeros(len(c), dtype=bool) if c.fixed is None else c.fixed,
            tags=np.arange(len(c)) if c.tags is None else c.tags,
            weights=Weights(2.0, 0.5, 0.0),
            group="a b",
            sid=f"random{k}",
            fid=str(k),
            relaxed_positions=c.positions + rng.normal(size=(len(c), 3)),
            relaxed_energy=rng.normal(),
            initial_energy=rng.normal(),
            info={"charge": -1, "spin": 3, "source": "x/y.zip"},
            targets={"dipole": rng.normal(size=3), "charges": rng.normal(size=(len(c), 2))},
        )
        for k, c in enumerate(configurations())
    ]


@pytest.mark.parametrize("source", WRITERS)
def test_every_pair_of_formats_keeps_every_field(source, capsys):
    some = complete()
    WRITERS[source](some, f"a.{source}")
    for target in WRITERS:
        words = (f"a.{source}", "-o", f"{target}/b.{target}", "--check")
        assert run(*words, "--keys", "targets=dipole,charges") == 0
        assert capsys.readouterr().out.endswith("compared: every value is equal\n")
        for before, after in zip(some, read(f"{target}/b.{target}", TARGETS), strict=True):
            assert_equal(before, after)


def test_a_folder_gets_one_file_and_units_are_converted(capsys):
    write_extxyz(configurations(), "a.xyz")
    assert run("a.xyz", "-o", "set", "--to", "lmdb", "--keys", "energy_unit=meV") == 0
    assert capsys.readouterr().out == "set/data.0000.lmdb: 3 configurations, lmdb\n"
    for before, after in zip(configurations(), read("set"), strict=True):
        assert after.energy == pytest.approx(before.energy / 1000)


def test_what_is_not_written_is_named(capsys):
    write_extxyz(complete(), "a.xyz")
    assert run("a.xyz", "-o", "b.lmdb") == 0
    assert "not written: charges, dipole (--keys targets=NAME,..." in capsys.readouterr().err


def test_a_difference_is_found():
    first = complete()[1]
    changes = {
        "energy": first.energy + 1e-9,
        "forces": np.nextafter(first.forces, np.inf),
        "sid": None,
        "fixed": None,
        "info": {},
        "relaxed_positions": None,
        "targets": {"dipole": first.targets["dipole"]},
    }
    for name, value in changes.items():
        expected = "charges" if name == "targets" else name
        assert differences(first, replace(first, **{name: value})) == [expected]
    assert differences(replace(first, sid=None), first) == []
    with pytest.raises(TorchMLError, match=r"configuration 1 differs from .* in energy, expected"):
        check_equal([first], [replace(first, energy=0.0)])
    with pytest.raises(TorchMLError, match="0 configurations were written, expected 1"):
        check_equal([first], [])


def test_errors_leave_files_as_they_were(capsys):
    write_lmdb(complete(), "a.lmdb")
    Path("b.xyz").write_text("precious")
    assert run("a.lmdb", "-o", "b.xyz") == 1
    assert "b.xyz exists, expected another name, or --force" in capsys.readouterr().err
    write_extxyz([replace(c, targets={}) for c in complete()], "a.xyz")
    text = Path("a.xyz").read_text()
    Path("a.xyz").write_text(text[: len(text) // 2])
    for target in ("b.xyz", "c.lmdb"):
        assert run("a.xyz", "-o", target, "--force") == 1
        assert "a.xyz, configuration 1" in capsys.readouterr().err
    assert Path("b.xyz").read_text() == "precious"
    assert sorted(path.name for path in Path().iterdir()) == ["a.lmdb", "a.xyz", "b.xyz"]


def test_the_name_and_the_format_must_agree(capsys):
    write_extxyz(configurations(), "a.xyz")
    assert run("a.xyz", "-o", "b.extxyz", "--to", "lmdb") == 1
    assert "the name b.extxyz shows extxyz, expected that, not --to lmdb" in capsys.readouterr().err
    assert run("a.xyz", "-o", "b.xyz", "--to", "extxyz") == 0


def test_a_command_that_is_terminated_leaves_no_half_file(monkeypatch):
    """SIGTERM during the writing."""

    def write(configurations, path):
        def few():
            yield next(iter(configurations))
            os.kill(os.getpid(), signal.SIGTERM)
            yield from configurations

        write_lmdb(few(), path)

    write_extxyz(configurations(), "a.xyz")
    monkeypatch.setitem(WRITERS, "lmdb", write)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        run("a.xyz", "-o", "set/b.lmdb")
    assert list(Path("set").iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before
