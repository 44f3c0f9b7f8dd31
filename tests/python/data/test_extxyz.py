"""Extended XYZ: the dialects that are around, exact numbers, and errors that name the line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest

from helpers.labelled import assert_equal, configurations, structures
from torchml import TorchMLError
from torchml.data import Configuration, Keys, Weights, read, write_extxyz

KLIFF = """2
Lattice="5.0 0 0 0 6 0 1.0 0 7.0 " PBC="1 1 0" Properties=species:S:1:pos:R:3:for:R:3 Energy="-8.5"
Si 0.0 0.0 0.0 0.1 0.2 0.3
C  1.0e+00 2.0 3.0 -0.1 -0.2 -3.0e-01
"""


def write(path: str, text: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def test_round_trips_are_exact(tmp_path):
    some = configurations()
    write_extxyz(some, "a.extxyz")
    found = read("a.extxyz")
    for k, (before, after) in enumerate(zip(some, found, strict=True)):
        assert_equal(before, after)
        assert after.name == f"a.extxyz, configuration {k}"
    assert [path.name for path in tmp_path.iterdir()] == ["a.extxyz"]


def test_targets_weights_and_groups_survive():
    rng = np.random.default_rng(0)
    targets = {
        "charge": 2.0,
        "dipole": rng.normal(size=3),
        "charges": rng.normal(size=8),
        "spins": rng.normal(size=(8, 2)),
        "polarizability": rng.normal(size=(3, 3)),
        "one": [0.1],
    }
    first = configurations()[0]
    c = Configuration(
        first.numbers,
        first.positions,
        targets=targets,
        weights=Weights(0.1, 0.0, 3.0),
        group="strained = 2%",
    )
    write_extxyz([c], "a.xyz")
    assert_equal(c, read("a.xyz", Keys(targets=list(targets)))[0])
    with pytest.raises(TorchMLError, match="the target 'forces' cannot be written"):
        write_extxyz([Configuration([1], [[0, 0, 0]], targets={"forces": 1.0})], "b.xyz")
    assert not Path("b.xyz").exists()


def test_ase_reads_what_we_write():
    for c, atoms in zip(configurations(), structures(), strict=True):
        write_extxyz([c], "a.extxyz")
        back = ase.io.read("a.extxyz")
        assert (back.positions == atoms.positions).all() and (back.pbc == atoms.pbc).all()
        assert back.calc.results["energy"] == atoms.calc.results["energy"]
        assert (back.calc.results["forces"] == atoms.calc.results["forces"]).all()
        if "stress" in atoms.calc.results:
            assert (back.calc.results["stress"] == atoms.calc.results["stress"]).all()
        assert len(back.constraints) == len(atoms.constraints)


def test_we_read_what_ase_writes():
    # ASE keeps eight digits, and forgets a cell of zeros.
    ase.io.write("a.extxyz", structures())
    for c, back in zip(configurations(), read("a.extxyz"), strict=True):
        np.testing.assert_allclose(back.positions, c.positions, atol=1e-8)
        np.testing.assert_allclose(back.forces, c.forces, atol=1e-8)
        assert back.energy == pytest.approx(c.energy, abs=1e-8)
        assert (back.pbc == c.pbc).all()
        assert (back.fixed is None) == (c.fixed is None)
        if c.fixed is not None:
            assert (back.fixed == c.fixed).all() and (back.tags == c.tags).all()
        if c.stress is not None:
            np.testing.assert_allclose(back.stress, c.stress, atol=1e-8)


def test_kliffs_dialect():
    c = read(write("si.xyz", KLIFF))[0]
    assert c.energy == -8.5 and c.numbers.tolist() == [14, 6]
    assert c.pbc.tolist() == [True, True, False]
    assert c.forces.tolist() == [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]
    assert c.cell.tolist() == [[5, 0, 0], [0, 6, 0], [1, 0, 7]]


def test_a_folder_is_read_in_the_order_of_its_names():
    for name, energy in (("b/a10.xyz", 3), ("b/a2.xyz", 4), ("a.xyz", 1), ("aa.xyz", 2)):
        write(f"set/{name}", KLIFF.replace("-8.5", str(energy)))
    write("set/readme.txt", "not a structure")
    write("set/.a.xyz", "hidden")
    found = read("set")
    assert [c.energy for c in found] == [1, 2, 3, 4]
    assert found[3].name == f"{Path('set/b/a2.xyz')}, configuration 0"
    Path("linked").mkdir()
    Path("linked/b").symlink_to(Path("set/b").resolve())
    assert [c.energy for c in read("linked")] == [3, 4]
    assert [c.energy for c in read(["set/aa.xyz", "set/a.xyz"])] == [2, 1]
    assert [c.energy for c in read("set/a*.xyz")] == [1, 2]


def test_plain_xyz_has_structures_only():
    c = read(write("a.xyz", "1\n\nH 0 0 0.5\n"))[0]
    assert c.energy is None and c.forces is None and not c.pbc.any() and not c.cell.any()
    assert c.positions.tolist() == [[0, 0, 0.5]]


@pytest.mark.parametrize(
    ("flags", "expected"), [("T F T", [1, 0, 1]), ("0 0 0", [0] * 3), ("T", [1] * 3)]
)
def test_pbc_in_its_spellings(flags, expected):
    for name in ("pbc", "PBC"):
        text = KLIFF.replace('PBC="1 1 0"', f'{name}="{flags}"')
        assert read(write("a.xyz", text))[0].pbc.tolist() == expected


def test_fixed_atoms_by_columns_of_directions():
    text = "2\nProperties=species:S:1:pos:R:3:move_mask:L:3\nH 0 0 0 F F F\nH 0 0 1 T F F\n"
    assert read(write("a.xyz", text))[0].fixed.tolist() == [True, False]


def test_weight_from_the_file():
    write("a.xyz", KLIFF.replace("Energy", "w=0.5 forces_weight=4 Energy"))
    assert read("a.xyz", Keys(weight="w"))[0].weights == Weights(0.5, 2.0, 0.5)
    assert read("a.xyz")[0].weights == Weights(1.0, 4.0, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("-8.5", "nan"), "configuration 0: energy is nan"),
        (("0.1 0.2 0.3", "0.1 nan 0.3"), r"configuration 0: forces\[0, 1\] is nan"),
        (("0.1 0.2 0.3", "0.1 0.2"), "line 3 has 6 columns, expected 7"),
        (("1.0e+00", "1.0f"), "line 4 has '1.0f' as 'pos', expected a number"),
        (("C ", "Cx"), "line 4 has the element 'Cx'"),
        (("C ", "X "), "line 4 has the element 'X'"),
        (("2\n", "two\n"), "line 1 is 'two', expected the number of atoms"),
        (("2\n", "0\n"), "has no atoms"),
        (("pos:R:3", "pos:R:3.5"), "Properties on line 2 is"),
        (("pos:R:3", "place:R:3"), "Properties on line 2 has no 'pos'"),
        (("1 1 0", "1 1"), "pbc is"),
        (("5.0 0 0 0", "0 0 0 0"), "span a volume"),
        (("5.0 0 0 0", "5.0 0 0"), "line 2: Lattice holds 8 numbers"),
        (('Lattice="5.0 0 0 0', 'LATTICE="5.0 0 0'), "Lattice holds 8 numbers"),
        ((KLIFF, ""), "is empty"),
        ((KLIFF, "\n\n"), "is empty"),
    ],
)
def test_errors_say_where(change, message):
    write("bad.xyz", KLIFF.replace(*change))
    with pytest.raises(TorchMLError, match=message) as caught:
        read("bad.xyz")
    assert "bad.xyz" in str(caught.value)


def test_a_file_that_was_cut_short():
    two = KLIFF + KLIFF
    write("cut.xyz", two[: len(two) - 60])
    with pytest.raises(
        TorchMLError, match=r"cut\.xyz, configuration 1: the file ends after 1 of 2"
    ):
        read("cut.xyz")


@pytest.mark.parametrize(("ending", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_compressed_files(ending, module):
    some = configurations() * 20
    write_extxyz(some, "a.extxyz")
    data = module.compress(Path("a.extxyz").read_bytes())
    Path(f"a.extxyz.{ending}").write_bytes(data)
    for before, after in zip(some, read(f"a.extxyz.{ending}"), strict=True):
        assert_equal(before, after)
    Path(f"a.extxyz.{ending}").write_bytes(data[: len(data) // 2])
    with pytest.raises(TorchMLError, match=rf"a\.extxyz\.{ending} cannot be read after"):
        read(f"a.extxyz.{ending}")
    Path(f"a.extxyz.{ending}").write_text(KLIFF)
    with pytest.raises(TorchMLError, match=rf"a\.extxyz\.{ending} cannot be read after 0"):
        read(f"a.extxyz.{ending}")


def test_the_second_configurations_lines_are_counted_on():
    write("bad.xyz", KLIFF + "\n\n" + KLIFF.replace("C ", "Cx"))
    with pytest.raises(TorchMLError, match="configuration 1: line 10 has the element 'Cx'"):
        read("bad.xyz")


def test_what_is_not_text_or_not_there():
    Path("bad.xyz").write_bytes(bytes(range(256)))
    with pytest.raises(TorchMLError, match="not text"):
        read("bad.xyz")
    with pytest.raises(TorchMLError, match="does not exist"):
        read("no.xyz")
    Path("void").mkdir()
    with pytest.raises(TorchMLError, match="void holds no files to read"):
        read("void")
    write("mixed/a.xyz", KLIFF)
    write("mixed/a.lmdb", "")
    with pytest.raises(TorchMLError, match="extxyz, lmdb"):
        read("mixed")
    with pytest.raises(TorchMLError, match="at least one path"):
        read([])


def test_a_name_that_no_configuration_has_is_an_error():
    write("a.xyz", KLIFF)
    with pytest.raises(TorchMLError, match=r"no 'DFT' \(keys.energy\), it has 'Energy', 'for'"):
        read("a.xyz", Keys(energy="DFT"))
    with pytest.raises(TorchMLError, match=r"no 'dipole' \(keys.targets\[0\]\)"):
        read("a.xyz", Keys(targets=["dipole"]))
    # Enough that some have it.
    write("b.xyz", KLIFF + KLIFF.replace("Energy", "DFT"))
    assert [c.energy for c in read("b.xyz", Keys(energy="DFT"))] == [None, -8.5]


def test_missing_labels_can_be_allowed():
    write("a.xyz", KLIFF.replace("-8.5", "nan"))
    c = read("a.xyz", Keys(allow_missing=True))[0]
    assert c.energy is None and c.forces is not None


def test_ten_thousand_atoms_take_well_under_a_second():
    rng = np.random.default_rng(0)
    write_extxyz(
        [
            Configuration(
                np.full(50, 14), rng.normal(size=(50, 3)), forces=rng.normal(size=(50, 3))
            )
            for _ in range(200)
        ],
        "a.xyz",
    )
    start = time.process_time()
    assert len(read("a.xyz")) == 200
    assert time.process_time() - start < 1.0
