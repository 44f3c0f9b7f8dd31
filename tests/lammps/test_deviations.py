"""The driver records how much the members of a committee differ, alike on any number of ranks."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.io import write

from helpers.committees import SPECIES, committee, deviations, posterior, quartz
from helpers.portable import write_model
from torchml import Potential, kim
from torchml.cli import main
from torchml.data import Configuration
from torchml.data.dataset import GraphDataset
from torchml.data.graph import GraphBuilder
from torchml.errors import TorchMLError
from torchml.inference.deviation_files import read_deviations
from torchml.models import Committee, Scaled, SchNet, StillingerWeber
from torchml.training.loop.prediction import predict
from torchml.validation.lammps import run_lammps

SCRIPT = """\
kim init {name} metal
boundary p p p
read_data start.data
kim interactions Si O
velocity all create 600 4928459
fix nve all nve
dump steps all custom 2 {ranks}.dump id type x y z fx fy fz
dump_modify steps sort id format float %.17g
run 4
"""


@pytest.fixture(scope="module")
def model():
    return committee()


@pytest.fixture(scope="module")
def name(model, collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("portable")
    example = write_model(model, "committee_of_three", "edges", folder)
    kim.install(example.folder, "environment")
    return example.name


@pytest.fixture
def watch(monkeypatch, tmp_path):
    """watch(**settings): run with TORCHML_DEVIATIONS and other settings in the environment."""

    def run(name, ranks=1, atoms=None, **settings):
        monkeypatch.setenv("TORCHML_DEVIATIONS", f"{ranks}.dev")
        for key, value in settings.items():
            monkeypatch.setenv(f"TORCHML_DEVIATIONS_{key.upper()}", str(value))
        atoms = quartz(2) if atoms is None else atoms
        write(tmp_path / "start.data", atoms, format="lammps-data", specorder=SPECIES, masses=True)
        run_lammps(SCRIPT.format(name=name, ranks=ranks), tmp_path, ranks)
        files = sorted(tmp_path.glob(f"{ranks}.dev*"))
        assert len(files) == ranks
        return read_deviations(files)

    return run


def frames(path, cell):
    """The structures of a dump."""
    found = []
    for text in path.read_text().split("ITEM: TIMESTEP")[1:]:
        lines = text.split("ITEM: ATOMS", 1)[1].splitlines()[1:]
        columns = np.loadtxt(lines, ndmin=2)
        symbols = [SPECIES[int(kind) - 1] for kind in columns[:, 1]]
        found.append(Atoms(symbols, columns[:, 2:5], cell=cell, pbc=True))
    return found


def test_records_are_the_members_deviations_on_any_number_of_ranks(watch, name, tmp_path):
    """Against each member's own forces, in Python, on the positions that LAMMPS wrote."""
    records = {ranks: watch(name, ranks, every=2, above=1.0) for ranks in (1, 2, 4)}
    potential = Potential(name)
    for ranks, found in records.items():
        structures = frames(tmp_path / f"{ranks}.dump", quartz(2).cell)
        assert [one.evaluation for one in found] == [0, 2, 4] and len(structures) == 3
        for one, atoms in zip(found, structures, strict=True):
            members = potential.evaluate(atoms, members=True).members
            expected = deviations(list(members.forces))
            assert one.atoms == len(atoms) == 16
            assert one.largest == pytest.approx(expected.max(), rel=1e-8)
            assert one.mean == pytest.approx(expected.mean(), rel=1e-8)
            assert one.energies == pytest.approx(members.energies.tolist(), rel=1e-11)
            above = np.flatnonzero(expected > 1.0)[np.argsort(-expected[expected > 1.0])]
            assert 0 < len(above) < len(atoms)
            assert [atom.deviation for atom in one.above] == pytest.approx(
                expected[above].tolist(), rel=1e-8
            )
            for atom, i in zip(one.above, above, strict=True):
                assert atom.symbol == atoms.symbols[i]
                shift = np.linalg.solve(atoms.cell.T, atom.position - atoms.positions[i])
                assert np.abs(shift - np.round(shift)).max() < 1e-7


def trained(seed, batch):
    """A network that learned the forces of the batch."""
    torch.manual_seed(seed)
    network = SchNet(SPECIES, StillingerWeber().cutoff, layers=1, features=8, gaussians=8)
    model = Scaled(network)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        error = predict(model, batch, create_graph=True).forces - batch.forces
        error.square().mean().backward()
        optimizer.step()
    return model.eval()


def test_atoms_beyond_the_training_data_are_named(watch, collection, tmp_path):
    """Members that learned silicon near its lattice; one atom is then pulled off its site."""
    near = [bulk("Si", cubic=True) for _ in range(6)]
    for seed, atoms in enumerate(near):
        atoms.rattle(0.08, seed=seed)
    potential = StillingerWeber()
    builder = GraphBuilder(SPECIES, potential.cutoff, 1)
    batch = GraphDataset([Configuration.from_atoms(atoms) for atoms in near], builder)[[*range(6)]]
    batch.forces = predict(potential, batch).forces
    model = Committee([trained(seed, batch) for seed in range(3)]).eval()
    example = write_model(model, "committee_that_learned", "edges", tmp_path)
    kim.install(example.folder, "environment")

    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.rattle(0.08, seed=9)
    members = Potential(example.name).evaluate(atoms, members=True).members
    limit = 1.5 * members.force_deviations.max()
    pulled = 21
    atoms.positions[pulled] += 0.6
    record = watch(example.name, atoms=atoms, every=100, above=limit)[0]
    named = [
        int(np.linalg.norm(atoms.positions - atom.position, axis=1).argmin())
        for atom in record.above
    ]
    near_it = np.flatnonzero(atoms.get_distances(pulled, range(64), mic=True) < potential.cutoff)
    assert named[0] == pulled and len(near_it) < 16 and set(named) <= set(near_it)


def test_members_that_share_a_network_are_recorded_alike(watch, collection, tmp_path):
    """Draws of the last layer of an ACE, on two ranks."""
    example = write_model(posterior().for_simulation(), "posterior", "edges", tmp_path)
    kim.install(example.folder, "environment")
    found = watch(example.name, 2, every=4)
    potential = Potential(example.name)
    structures = frames(tmp_path / "2.dump", quartz(2).cell)
    assert [one.evaluation for one in found] == [0, 4]
    for one, atoms in zip(found, structures[::2], strict=True):
        members = potential.evaluate(atoms, members=True).members
        assert members.force_deviations.max() > 0.01
        assert one.largest == pytest.approx(members.force_deviations.max(), rel=1e-8)
        assert one.energies == pytest.approx(members.energies.tolist(), rel=1e-11)


def test_forces_do_not_change_where_they_are_watched(watch, name, tmp_path, monkeypatch):
    watch(name, every=100)
    watched = (tmp_path / "1.dump").read_text()
    monkeypatch.delenv("TORCHML_DEVIATIONS")
    monkeypatch.delenv("TORCHML_DEVIATIONS_EVERY")
    run_lammps(SCRIPT.format(name=name, ranks="plain"), tmp_path)
    one, other = (
        np.array([frame.positions for frame in frames(tmp_path / file, quartz(2).cell)])
        for file in ("1.dump", "plain.dump")
    )
    assert watched.count("TIMESTEP") == 3
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_a_run_ends_above_the_limit(watch, name, tmp_path):
    """The record of the evaluation that ended it is in the file."""
    with pytest.raises(TorchMLError, match="members of the committee differ by") as raised:
        watch(name, stop=0.5)
    assert "expected at most TORCHML_DEVIATIONS_STOP = 0.5 eV/Å" in str(raised.value)
    (record,) = read_deviations([tmp_path / "1.dev"])
    assert record.evaluation == 0 and record.largest > 0.5 and record.above == ()


def test_all_ranks_end_where_one_exceeds_the_limit(watch, name, tmp_path):
    atoms = quartz(2)
    forces = Potential(name).evaluate(atoms, members=True).members.forces
    second, largest = np.sort(deviations(list(forces)))[-2:]
    assert largest - second > 0.01
    with pytest.raises(TorchMLError, match="members of the committee differ by"):
        watch(name, 2, atoms, stop=(largest + second) / 2)
    (record,) = read_deviations(sorted(tmp_path.glob("2.dev*")))
    assert record.largest == pytest.approx(largest, rel=1e-8)


def test_one_model_has_no_deviations(watch, installed):
    example = installed("binary", "edges")
    with pytest.raises(TorchMLError, match="TORCHML_DEVIATIONS is set but the model has no memb"):
        watch(example.name)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"every": 0}, "TORCHML_DEVIATIONS_EVERY is '0', expected a number of evaluations"),
        ({"above": "high"}, "TORCHML_DEVIATIONS_ABOVE is 'high', expected a force in eV/Å"),
    ],
)
def test_wrong_settings_are_refused(settings, sentence, watch, name):
    with pytest.raises(TorchMLError, match=sentence):
        watch(name, **settings)


def test_a_limit_needs_a_file(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHML_DEVIATIONS_STOP", "0.5")
    assert "TORCHML_DEVIATIONS" not in os.environ
    with pytest.raises(TorchMLError, match="_STOP is set but TORCHML_DEVIATIONS is not"):
        run_lammps(f"kim init {name} metal\n", tmp_path)


def test_the_command_merges_the_ranks(watch, name, tmp_path, capsys):
    records = watch(name, 2, above=1.0)
    files = [str(tmp_path / f"2.dev.{rank}") for rank in (0, 1)]
    assert main(["deviations", *files]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["evaluation", "atoms", "largest", "mean", "energy", "above"]
    assert [line.split()[:2] for line in lines] == [[str(k), "16"] for k in range(5)]
    assert float(lines[0].split()[2]) == pytest.approx(records[0].largest, rel=1e-5)
    assert main(["deviations", *files, "--output", "all.csv"]) == 0
    assert (tmp_path / "all.csv").read_text().count("\n") == 6
    assert main(["deviations", files[0]]) == 1
    assert "of the ranks 0, expected one of each rank from 0 to 1" in capsys.readouterr().err
