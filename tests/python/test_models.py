"""The example potentials: their physics, and their behaviour where formulas become delicate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.kim import KIM
from ase.neighborlist import primitive_neighbor_list
from brute_force import graphs

from torchml.models import SchNet, StillingerWeber

NATIVE = "SW_StillingerWeber_1985_Si__MO_405512056662_005"


def periodic_energy_and_forces(model, atoms):
    i, j, shift = primitive_neighbor_list(
        "ijS", atoms.pbc, atoms.cell, atoms.positions, model.cutoff
    )
    x = torch.tensor(atoms.positions, requires_grad=True)
    vectors = x[torch.tensor(j)] - x[torch.tensor(i)] + torch.tensor(shift @ atoms.cell.array)
    n = len(atoms)
    energy = model(
        torch.zeros(n, dtype=torch.int64),
        vectors,
        torch.tensor(np.stack([j, i])),
        [n] * (model.layers + 1),
        [len(i)] * model.layers,
    ).sum()
    (gradient,) = torch.autograd.grad(energy, x)
    return energy.item(), -gradient.numpy()


def dimer_energy(model, r):
    """Energy of two atoms at distance `r` (0-dim tensor)."""
    vectors = torch.stack([torch.stack([r, 0 * r, 0 * r]), torch.stack([-r, 0 * r, 0 * r])])
    edge_index = torch.tensor([[1, 0], [0, 1]])
    layers = model.layers
    codes = torch.zeros(2, dtype=torch.int64)
    return model(codes, vectors, edge_index, [2] * (layers + 1), [2] * layers).sum()


@pytest.fixture
def schnet():
    torch.manual_seed(0)
    return SchNet(["Si", "O"], cutoff=3.0, layers=3, features=16, gaussians=8)


@pytest.mark.parametrize(("repeat", "displacement"), [(2, 0.0), (2, 0.1), (2, 0.4), (1, 0.2)])
def test_stillinger_weber_is_the_native_model(repeat, displacement, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # KIM-API writes its log where it stands
    atoms = bulk("Si", "diamond", 5.431, cubic=True).repeat(repeat)
    atoms.rattle(displacement, seed=1)
    energy, forces = periodic_energy_and_forces(StillingerWeber(), atoms)
    atoms.calc = KIM(NATIVE)
    reference = atoms.get_forces()
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    scale = max(1.0, np.abs(reference).max())
    np.testing.assert_allclose(forces, reference, rtol=0, atol=1e-12 * scale)


def test_stillinger_weber_in_its_crystal_has_the_literature_energy():
    # Cohesive energy 2 epsilon = 4.3364 eV at 5.4309 Å.
    energy, forces = periodic_energy_and_forces(
        StillingerWeber(), bulk("Si", "diamond", 5.4309, cubic=True)
    )
    assert energy / 8 == pytest.approx(-4.3364, abs=2e-4)
    assert np.abs(forces).max() < 1e-12


@pytest.mark.parametrize("distance", [3.77, 3.7711, 3.77117999, 3.77118, 3.8, 10.0])
def test_stillinger_weber_ends_smoothly(distance):
    model = StillingerWeber()
    r = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
    energy = dimer_energy(model, r)
    (first,) = torch.autograd.grad(energy, r, create_graph=True)
    (second,) = torch.autograd.grad(first, r)
    for value in (energy, first, second):
        assert torch.isfinite(value)
        assert abs(value.item()) < 1e-12


def test_schnet_ends_smoothly(schnet):
    apart = dimer_energy(schnet, torch.tensor(9.0, dtype=torch.float64)).item()
    for gap in (1e-2, 1e-3, 1e-4):
        r = torch.tensor(schnet.cutoff - gap, dtype=torch.float64, requires_grad=True)
        energy = dimer_energy(schnet, r)
        (slope,) = torch.autograd.grad(energy, r)
        assert abs(energy.item() - apart) < gap**2
        assert abs(slope.item()) < gap


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_the_result_is_that_of_the_model(dtype):
    for model in (StillingerWeber(dtype=dtype), SchNet(["Si"], 4.0, dtype=dtype)):
        assert dimer_energy(model, torch.tensor(2.4, dtype=dtype)).dtype == dtype


def test_float32_stillinger_weber_is_close_to_float64():
    exact = dimer_energy(StillingerWeber(), torch.tensor(2.2, dtype=torch.float64)).item()
    single = dimer_energy(StillingerWeber(dtype=torch.float32), torch.tensor(2.2)).item()
    assert single == pytest.approx(exact, rel=1e-5)


def test_prefixes_give_the_same_energies_as_the_whole_graph(schnet):
    positions = np.random.default_rng(3).uniform(0, 9, (60, 3))
    contributing = np.arange(60) < 5
    found = graphs(positions, contributing, schnet.cutoff, schnet.layers)
    assert found.node_counts[0] < found.node_counts[1] < found.node_counts[2]
    codes = torch.arange(60)[found.nodes] % 2
    x = torch.tensor(positions)[found.nodes]
    vectors = x[found.edge_index[0]] - x[found.edge_index[1]]
    n, e = len(found.nodes), found.edge_index.size(1)
    prefixes = schnet(codes, vectors, found.edge_index, found.node_counts, found.edge_counts)
    whole = schnet(codes, vectors, found.edge_index, [n] * 4, [e] * 3)
    torch.testing.assert_close(prefixes[:5], whole[:5], rtol=0, atol=1e-13)
    assert len(prefixes) == n


def test_radial_models_see_lengths_only(schnet):
    generator = torch.Generator().manual_seed(5)
    vectors = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    vectors *= 2.4 / vectors.norm(dim=1, keepdim=True)
    turned = vectors.roll(1, dims=1)
    turned[0] *= -1.0
    edge_index = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])
    codes = torch.zeros(3, dtype=torch.int64)
    for model in (schnet, StillingerWeber()):
        counts = [3] * (model.layers + 1), [6] * model.layers
        one = model(codes, vectors, edge_index, *counts).sum().item()
        other = model(codes, turned, edge_index, *counts).sum().item()
        assert (one == pytest.approx(other, rel=1e-12)) == model.radial


def test_forces_can_be_trained():
    """A loss on forces needs the derivative of the gradient."""
    torch.manual_seed(1)
    model = SchNet(["Si", "O"], cutoff=3.0, layers=2, features=4, gaussians=4)
    vectors = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    edge_index = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])

    def energy(x):
        codes = torch.tensor([0, 1, 0])
        return model(codes, x, edge_index, [3] * 3, [6] * 2)

    assert torch.autograd.gradgradcheck(energy, (vectors,))


@pytest.mark.parametrize("make", [StillingerWeber, lambda: SchNet(["Si"], 4.0, layers=2)])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_atoms_without_neighbours(make, n):
    model = make()
    codes = torch.zeros(n, dtype=torch.int64)
    vectors = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros((2, 0), dtype=torch.int64)
    energies = model(codes, vectors, nothing, [n] * (model.layers + 1), [0] * model.layers)
    assert energies.shape == (n,)
    assert torch.isfinite(energies).all()
    (gradient,) = torch.autograd.grad(energies.sum(), vectors, allow_unused=True)
    assert gradient is None or gradient.shape == (0, 3)
