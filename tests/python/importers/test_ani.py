"""The network of ANI computes the formulas of the paper, and its files are read as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers.ani_models import HARTREE, energies_in_loops, random_values, write_neurochem
from helpers.networks import cluster, edges_of, energies, free_energies
from torchml import ModelError, Potential
from torchml.contract import metadata
from torchml.export.aoti.compilation import compile_module
from torchml.export.compression import compress
from torchml.importers.networks.ani import build
from torchml.importers.reading import ani, neurochem
from torchml.importers.reading.source import ReadingError
from torchml.models import describe, script

SPECIES = ["H", "C", "O"]
VARIANTS = {
    "cosine, CELU": {},
    "smooth, GELU, repulsion": {"smooth": True, "activation": "gelu", "repulsion": True},
    "Gaussian, one member": {"activation": "gaussian", "members": 1},
    "one hidden layer, repulsion": {"widths": (7,), "repulsion": True},
}


@pytest.fixture(scope="module")
def atoms() -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and codes of a dense cluster: more pairs at an atom than a block holds."""
    return torch.tensor(cluster(30, 4.2)), torch.arange(30) % 3


@pytest.fixture(scope="module")
def model():
    return build(random_values(SPECIES))


def members_of(model, codes, positions):
    """Energies (eV) of the members: [k, N]."""
    edge_index, _ = edges_of(Atoms(positions=positions.numpy()), model.cutoff)
    vectors = positions[edge_index[0]] - positions[edge_index[1]]
    counts = [len(codes)] * 2, [edge_index.size(1)]
    found = model.network.member_energies(codes, vectors, edge_index, *counts)
    return found * model.scale + model.references[codes]


@pytest.mark.parametrize("name", VARIANTS)
def test_members_and_their_mean_follow_the_formulas(name, atoms):
    positions, codes = atoms
    values = random_values(SPECIES, **VARIANTS[name])
    model = build(values)
    expected = energies_in_loops(values, codes.tolist(), positions.numpy())
    assert abs(expected - expected.mean()).max() > 1.0
    found = members_of(model, codes, positions)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    mean = free_energies(model, codes, positions)
    np.testing.assert_allclose(mean, expected.mean(0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", VARIANTS)
def test_derivatives_are_right(name):
    model = build(random_values(SPECIES, **VARIANTS[name]))
    positions = torch.tensor(cluster(6, 2.8, seed=4), requires_grad=True)
    codes = torch.tensor([0, 1, 2, 0, 2, 2])
    edge_index, _ = edges_of(Atoms(positions=positions.detach().numpy()), model.cutoff)

    def energy(x):
        return energies(model, codes, x, edge_index).sum()

    assert torch.autograd.gradcheck(energy, (positions,), atol=1e-5, rtol=1e-5)


def test_energies_follow_rotations_and_the_order_of_atoms(model, atoms):
    positions, codes = atoms
    expected = free_energies(model, codes, positions)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    torch.testing.assert_close(
        free_energies(model, codes, positions @ turn), expected, rtol=0, atol=1e-10
    )
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        free_energies(model, codes[order], positions[order]), expected[order], rtol=0, atol=1e-10
    )


def test_energies_do_not_depend_on_the_order_of_edges(model, atoms):
    positions, codes = atoms
    edge_index, _ = edges_of(Atoms(positions=positions.numpy()), model.cutoff)
    order = torch.randperm(edge_index.size(1), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        energies(model, codes, positions, edge_index[:, order]),
        energies(model, codes, positions, edge_index),
        rtol=0,
        atol=1e-10,
    )


def test_exchanging_equal_atoms_changes_nothing(model, atoms):
    positions, codes = atoms
    exchanged = positions.clone()
    exchanged[[0, 3]] = positions[[3, 0]]
    found, expected = (free_energies(model, codes, x).sum() for x in (exchanged, positions))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("distance", [2.8, 4.0])
def test_energy_and_slope_are_continuous_at_both_cutoffs(smooth, distance):
    model = build(random_values(SPECIES, smooth=smooth))
    codes = torch.tensor([0, 1, 2, 0])
    base = torch.tensor([[0.0, 0, 0], [1.2, 0, 0], [0, 1.3, 0.2], [0, 0, 0]], dtype=torch.float64)

    def at(r):
        x = base.clone()
        x[3, 2] = r
        x.requires_grad_(True)
        energy = free_energies(model, codes, x).sum()
        return energy.item(), float(torch.autograd.grad(energy, x)[0][3, 2])

    (before, slope_before), (after, slope_after) = at(distance - 1e-6), at(distance + 1e-6)
    middle = 0.5 * (slope_before + slope_after)
    assert after - before == pytest.approx(2e-6 * middle, abs=1e-10)
    assert slope_after == pytest.approx(slope_before, abs=1e-4)


def test_a_lone_atom_has_its_self_energy_and_that_of_its_networks():
    """ANI's networks give an energy without neighbours, too: it comes from their biases."""
    values = random_values(SPECIES)
    model = build(values)
    x = torch.zeros(1, 3, dtype=torch.float64)
    for code, symbol in enumerate(SPECIES):
        (expected,) = energies_in_loops(values, [code], np.zeros((1, 3))).mean(0)
        found = free_energies(model, torch.tensor([code]), x).item()
        assert found == pytest.approx(expected, abs=1e-12)
        assert abs(found - values["references"][symbol]) > 0.01
    for network in values["networks"]:
        network["biases"] = [0.0 * bias for bias in network["biases"]]
    alone = free_energies(build(values), torch.tensor([1]), x).item()
    assert alone == values["references"]["C"]


def test_only_contributing_atoms_are_computed(model, atoms):
    """Edges into ghosts are left out, and ghosts have no energy."""
    positions, codes = atoms
    edge_index, _ = edges_of(Atoms(positions=positions.numpy()), model.cutoff)
    vectors = positions[edge_index[0]] - positions[edge_index[1]]
    expected = model(codes, vectors, edge_index, [30, 30], [edge_index.size(1)])
    into = edge_index[1] < 12
    order = torch.cat([into.nonzero(), (~into).nonzero()]).squeeze(1)
    n = int(into.sum())
    few = model.network(codes, vectors[order], edge_index[:, order], [12, 30], [n])
    torch.testing.assert_close(few[:12] * HARTREE + model.references[codes[:12]], expected[:12])
    assert few[12:].abs().max() == 0
    none = model.network(codes, vectors[:0], edge_index[:, :0], [0, 30], [0])
    assert none.shape == (30,)


def test_torchscript_gives_the_same(tmp_path, model, atoms):
    positions, codes = atoms
    archive = tmp_path / "ani.pt"
    metadata.save(script(model, "edges"), archive, describe(model, "edges"))
    cluster = Atoms([SPECIES[code] for code in codes], positions.numpy())
    found = Potential(archive).evaluate(cluster)
    x = positions.clone().requires_grad_(True)
    energy = free_energies(model, codes, x).sum()
    (gradient,) = torch.autograd.grad(energy, x)
    assert found.energy == pytest.approx(energy.item(), rel=1e-12)
    np.testing.assert_allclose(found.forces, -gradient, rtol=0, atol=1e-10)


def test_single_precision_is_close(atoms):
    positions, codes = atoms
    exact = build(random_values(SPECIES))
    single = build(random_values(SPECIES))
    single.network.float()
    found, expected = (free_energies(one, codes, positions) for one in (single, exact))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_splines_replace_the_radial_terms(model, atoms):
    positions, codes = atoms
    compression = compress(model, 1e-9)
    assert compression.functions == 4
    torch.testing.assert_close(
        free_energies(compression.model, codes, positions),
        free_energies(model, codes, positions),
        rtol=0,
        atol=1e-6,
    )


def test_an_unknown_activation_or_cutoff_function_is_an_error():
    for key in ("activation", "cutoff_function"):
        values = {**random_values(SPECIES), key: {"kind": "tanh"}}
        with pytest.raises(ModelError, match=r"is 'tanh', expected c"):
            build(values)


@pytest.mark.parametrize("repulsion", [False, True])
def test_a_subset_of_species_gives_the_same_energies(repulsion, atoms):
    positions, codes = atoms
    values = random_values(SPECIES, repulsion=repulsion)
    few = ani.subset(values, ["O", "H"])
    assert few["networks"][0]["weights"][0].size(1) == 2 * 4 + 3 * 6
    keep = codes != 1
    expected = free_energies(build(values), codes[keep], positions[keep])
    found = free_energies(build(few), (codes[keep] == 0).long(), positions[keep])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    with pytest.raises(ReadingError, match="the model has no Fe, expected some of H C O"):
        ani.subset(values, ["H", "Fe"])


@pytest.fixture
def folder(tmp_path):
    """A model in files of NeuroChem, whose folder and info file are returned."""
    values = random_values(SPECIES, members=2)
    return values, tmp_path / "ani", write_neurochem(tmp_path / "ani", values)


@pytest.mark.parametrize("name", ["folder", "info file"])
def test_files_of_neurochem_are_read(folder, name, atoms):
    values, path, info = folder
    found = ani.of_neurochem(neurochem.files_of(info if name == "info file" else path))
    for key in ("species", "cutoff", "activation", "cutoff_function", "repulsion"):
        assert found[key] == values[key]
    for one, expected in zip(found["networks"], values["networks"], strict=True):
        for kind in ("weights", "biases"):
            for tensor, other in zip(one[kind], expected[kind], strict=True):
                assert torch.equal(tensor, other.float())
    for symbol in SPECIES:
        assert found["references"][symbol] / ani.HARTREE == pytest.approx(
            values["references"][symbol] / HARTREE, rel=1e-15
        )
    # Numbers of NeuroChem are float32.
    assert torch.equal(found["angular"]["sections"], values["angular"]["sections"].float().double())
    build(found)


def test_one_member_may_be_a_folder_of_its_own(folder):
    _, path, _ = folder
    for name in ("r.params", "sae_linfit.dat"):
        (path / "train1" / name).write_bytes((path / name).read_bytes())
    found = ani.of_neurochem(neurochem.files_of(path / "train1"))
    both = ani.of_neurochem(neurochem.files_of(path))
    assert torch.equal(found["networks"][2]["weights"][1][0], both["networks"][2]["weights"][1][1])


def empty(path):
    (path / "train0/networks/ANN-C.nnf").write_bytes(b"")


def short(path):
    (path / "train1/networks/ANN-O.nnf-l2.wparam").write_bytes(b"1234")


def missing(path):
    (path / "train1/networks/ANN-H.nnf-l1.bparam").unlink()


def garbled(path):
    (path / "train1/networks/ANN-H.nnf").write_bytes(b"12=\nBZhello")


def number(path):
    text = (path / "r.params").read_text()
    (path / "r.params").write_text(text.replace("Rca = 2.8", "Rca = near"))


def constant(path):
    text = (path / "r.params").read_text()
    (path / "r.params").write_text(text.replace("EtaA", "EtaB"))


def element(path):
    (path / "sae_linfit.dat").write_text("H,0=-0.5\n")


def second(path):
    (path / "sae_other.dat").write_text("H,0=-0.5\n")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (empty, "ANN-C.nnf is empty: the wheel of torchani 2.2.4 has only names of the files"),
        (short, "wparam has 4 bytes, expected 120"),
        (missing, "bparam: no such file"),
        (garbled, "ANN-H.nnf is no network of NeuroChem"),
        (number, "r.params: Rca is 'near', expected a number"),
        (constant, "r.params has no EtaA"),
        (element, "sae_linfit.dat has no energy of C O"),
        (second, r"has 2 files sae\*.dat, expected one"),
    ],
)
def test_damaged_files_are_named(folder, damage, sentence):
    _, path, _ = folder
    damage(path)
    with pytest.raises(ReadingError, match=sentence):
        ani.of_neurochem(neurochem.files_of(path))


def test_members_of_different_sizes_are_an_error(folder, tmp_path):
    _, path, _ = folder
    other = random_values(SPECIES, members=2, widths=(6, 4))
    write_neurochem(tmp_path / "other", other)
    for file in (tmp_path / "other/train1/networks").iterdir():
        (path / "train1/networks" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ReadingError, match="the members' networks of H differ in their sizes"):
        ani.of_neurochem(neurochem.files_of(path))


def test_an_unknown_activation_of_neurochem_is_named(tmp_path):
    write_neurochem(tmp_path / "ani", random_values(SPECIES, members=1), activation=4)
    with pytest.raises(ReadingError, match=r"has the activations 4, expected one of 5 \| 9"):
        ani.of_neurochem(neurochem.files_of(tmp_path / "ani"))


def test_compiling_is_refused_with_the_reason(model, tmp_path):
    module, facts = script(model, "edges").eval(), describe(model, "edges")
    with pytest.raises(ModelError, match=r"the number of its angles depends on the positions"):
        compile_module(
            module, facts, tmp_path / "ani.pt2", name="ANI", energy_kind="per_particle",
            network=model,
        )  # fmt: skip
