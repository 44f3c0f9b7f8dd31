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
        (("1.0e+00", "1_0"), "line 4 has '1_0' as 'pos', expected a number"),
        (("Lattice", "cell"), "there is 'cell' and no Lattice"),
        (("Lattice", "Box"), "there is 'Box' and no Lattice"),
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


SILICON = """2
Lattice="5.5 0 0 0 5.5 0 0 0 5.5" Properties={properties} energy=-9.1{more}
Si 0.0 0.0 0.0 -0.1 0.0 0.0 {first}
Si 1.4 1.4 1.3  0.1 0.0 0.0 {second}
"""


def silicon(more: str = "", columns: str = "", first: str = "", second: str = "") -> Path:
    properties = f"species:S:1:pos:R:3:forces:R:3{columns}"
    text = SILICON.format(properties=properties, more=more, first=first, second=second)
    return write("a.xyz", text)


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        (":group:I:1", "0", "1"),
        (":energy:R:1", "-4.5", "-4.6"),
        (":weight:R:1", "2.0", "3.0"),
        (":stress:R:9", "1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0 1"),
        (":virial:R:6:config_type:S:1", "1 2 3 4 5 6 a", "1 2 3 4 5 6 b"),
        (":energy_weight:R:1:charge:R:1", "1 2", "3 4"),
    ],
)
def test_columns_of_atoms_are_no_labels_of_the_configuration(columns, first, second):
    (c,) = read(silicon("", columns, first, second))
    assert c.energy == -9.1 and c.stress is None and c.group is None and c.weights == Weights()
    one = write("one.xyz", "1\n" + "\n".join(Path("a.xyz").read_text().splitlines()[1:3]) + "\n")
    (alone,) = read(one)
    assert alone.energy == -9.1 and alone.stress is None and alone.weights == Weights()
    # The same in files that ASE reads.
    ase.io.write("a.traj", ase.io.read("one.xyz", format="extxyz"))
    if "energy:" not in columns and "stress" not in columns:
        (alone,) = read("a.traj")
        assert alone.energy == -9.1 and alone.group is None and alone.weights == Weights()
    name = columns.split(":")[1]
    if name in ("group", "weight"):
        with pytest.raises(TorchMLError, match=rf"'{name}' \(keys\.{name}\) has a value for each"):
            read("one.xyz", Keys(**{name: name}))


def test_columns_can_be_targets():
    (c,) = read(silicon("", ":charge:R:1", "1.5", "-1.5"), Keys(targets=["charge"]))
    assert c.targets["charge"].tolist() == [1.5, -1.5]
    silicon(" charge=2", ":charge:R:1", "1.5", "-1.5")
    with pytest.raises(TorchMLError, match="has 'charge' of the configuration and of its atoms"):
        read("a.xyz", Keys(targets=["charge"]))
    with pytest.raises(TorchMLError, match="Properties on line 2 has 'positions' twice"):
        read(silicon("", ":positions:R:3", "0 0 0", "0 0 0"))


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("config_weight=0.25 config_energy_weight=4 config_forces_weight=0", (1.0, 0.0, 0.25)),
        ("weight=2", (2.0, 2.0, 2.0)),
        ("Weight=2 Energy_Weight=3", (6.0, 2.0, 2.0)),
        ("energy_weight=2", (2.0, 1.0, 1.0)),
        ("force_weight=2 stress_weight=3", (1.0, 2.0, 3.0)),
        ("config_virials_weight=3", (1.0, 1.0, 3.0)),
        ("config_virials_weight=3 config_stress_weight=4", (1.0, 1.0, 4.0)),
        ('virial="1 0 0 0 1 0 0 0 1" virial_weight=3 stress_weight=4', (1.0, 1.0, 3.0)),
        ('stress="1 1 1 0 0 0" virial_weight=3 stress_weight=4', (1.0, 1.0, 4.0)),
    ],
)
def test_weights_by_the_names_in_use(text, weights):
    assert read(silicon(" " + text))[0].weights == Weights(*weights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "weight=1 config_weight=2",
            "'config_weight' and 'weight', expected one name for the weight",
        ),
        ("energy_weight=1 config_energy_weight=2", "one name for the energy weight: rename one"),
        ("weight=-1", "the energy weight is -1"),
        ('weight="1 2"', "weight holds 2 numbers"),
        ("weight=", "weight is '', expected numbers"),
        ('stress="1 2 3 4 5"', "stress holds 5 numbers, expected 6 or 9"),
        ('virial="1 0 0" ', "virial holds 3 numbers"),
        ('stress="1 1 1 0 0 0" virial="1 1 1 0 0 0"', "expected one name for the stress"),
        ('lattice="6 0 0 0 6 0 0 0 6"', "Lattice and lattice are both there"),
        ("energy=-99.0", "the key 'energy' is there twice"),
        ("Energy=-99.0", "'Energy' and 'energy', expected one name for the energy"),
    ],
)
def test_labels_and_weights_that_are_not_clear(text, message):
    with pytest.raises(TorchMLError, match=message):
        read(silicon(" " + text))


@pytest.mark.parametrize("name", ["stress", "Stress", "REF_stress", "virial", "dft_virials"])
def test_six_and_nine_numbers_of_stress(name):
    six = np.array([0.01, 0.02, 0.03, 0.004, 0.005, 0.006])
    nine = six[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    sign = -(5.5**3) if "virial" in name else 1
    for values in (six, nine):
        for form in ('="{}"', "={{{}}}", "=[{}]"):
            (c,) = read(silicon(f" {name}" + form.format(" ".join(map(repr, values.tolist())))))
            np.testing.assert_allclose(sign * c.stress, six, rtol=1e-12)
    (c,) = read(silicon(f" {name}={nine.reshape(3, 3).tolist()}"))
    np.testing.assert_allclose(sign * c.stress, six, rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["config_type= ", 'config_type="" ', "config_type={} ", "note='' ", "note = "]
)
def test_empty_values_leave_the_lattice(text):
    lines = silicon().read_text().replace("Lattice", text + "Lattice")
    (c,) = read(write("b.xyz", lines))
    assert c.pbc.all() and c.cell.tolist() == (5.5 * np.eye(3)).tolist() and c.group is None


def test_names_of_groups_are_text():
    for name in ("T", "007", "1.0", "a b"):
        assert read(silicon(f' config_type="{name}"'))[0].group == name
        write_extxyz(read("a.xyz"), "b.xyz")
        assert read("b.xyz")[0].group == name


def test_names_that_look_like_labels_are_named_once(caplog):
    text = silicon(" free_energy=-9.2 forces_dft=3 my_weight=2 temperature=300").read_text()
    read(write("b.xyz", text * 3))
    (message,) = [record.message for record in caplog.records]
    assert "b.xyz: 'free_energy', 'forces_dft', 'my_weight' may be labels" in message
    caplog.clear()
    read(silicon(" free_energy=-9.1 temperature=300"))  # equal to the energy
    read(silicon(" free_energy=-9.2"), Keys(energy="free_energy"))
    assert not caplog.records


def test_only_the_first_rank_prints_notices(caplog, monkeypatch):
    path = silicon(" forces_dft=3")
    for name in ("LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        with monkeypatch.context() as environment:
            environment.setenv(name, "1")
            read(path)
    assert not caplog.records


@pytest.mark.parametrize(
    ("head", "tag", "message"),
    [
        ("-3", "0", "line 1 is '-3', expected the number of atoms"),
        ("9" * 30, "0", "line 1 is '9{30}', expected the number of atoms"),
        ("1", "9" * 20, "line 3 has '9{20}' as 'tags', expected an integer"),
    ],
)
def test_numbers_that_do_not_fit(head, tag, message):
    text = f"{head}\nProperties=species:S:1:pos:R:3:tags:I:1\nH 0 0 0 {tag}\n"
    Path("a.xyz").write_text(text)
    with pytest.raises(TorchMLError, match=message):
        read("a.xyz")
