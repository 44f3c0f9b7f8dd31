"""The atomic cluster expansion: its invariants, its ends, and what it takes from the data."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from helpers.networks import SPECIES, cluster, edges_of, energies, free_energies, make
from torchml.errors import TorchMLError
from torchml.models import ACE, Scaled
from torchml.models.ace import SIZES, radial_table
from torchml.models.ace_simulation import SimulationACE
from torchml.models.density import density
from torchml.models.invariants import invariants
from torchml.models.zbl import DECAYS, WEIGHTS, charge_and_decay, screened


def harmonics(vectors: np.ndarray, highest: int) -> np.ndarray:
    """Harmonics of unit vectors: [E, (highest + 1)^2]."""
    table = torch.ones(12, 1, dtype=torch.float64)  # a radial function that is one everywhere
    nodes = len(vectors)
    index = torch.stack([torch.zeros(nodes, dtype=torch.int64), torch.arange(nodes)])
    rows = density(
        torch.from_numpy(vectors),
        torch.zeros(nodes, dtype=torch.int64),
        index,
        torch.ops.torchml.edge_order(index, nodes),
        torch.zeros(1, 1, dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
        table,
        2.0,
        highest,
        nodes,
    )
    return rows[:, :, 0].numpy()


@pytest.mark.parametrize("degrees", [[3], [3, 3], [4, 4, 2], [2, 1, 1]])
def test_polynomials_are_invariant_and_independent(degrees):
    basis = invariants(degrees)
    generator = np.random.default_rng(3)
    directions = generator.normal(size=(40, 7, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    weights = generator.normal(size=(40, 7))

    def values(turn: np.ndarray) -> np.ndarray:
        y = harmonics((directions @ turn.T).reshape(-1, 3), max(degrees)).reshape(40, 7, -1)
        x = np.einsum("se,sel->sl", weights, y)
        monomials = np.stack([x[:, list(m)].prod(1) for m in basis.monomials], 1)
        return monomials @ basis.coefficients

    here = values(np.eye(3))
    turned = values(-Rotation.from_euler("xyz", [0.3, 1.0, 2.0]).as_matrix())
    np.testing.assert_allclose(turned, here, rtol=0, atol=1e-11 * np.abs(here).max())
    assert np.linalg.matrix_rank(here) == len(basis.orders)


def test_numbers_of_invariants():
    # One scalar, the power spectrum, and the triples of l that close a triangle with an even sum.
    assert invariants([3]).orders == [1, 2, 2, 2]
    triangles = [(1, 1, 2), (1, 2, 3), (2, 2, 2), (2, 3, 3)]
    assert invariants([3, 3]).orders == [1, 2, 2, 2] + [3] * len(triangles)


def test_radial_functions_end_with_two_derivatives():
    table = radial_table(6, 4.0)
    r = torch.linspace(0.3, 4.1, 500, dtype=torch.float64, requires_grad=True)
    values = torch.ops.torchml.spline(r, table, 4.0)
    x = r.detach() / 4.0
    envelope = torch.where(x < 1, 1 - x**3 * (10 - 15 * x + 6 * x * x), torch.zeros_like(x))
    for k in range(6):
        exact = torch.sin((k + 1) * math.pi * x) / (math.pi * x) * envelope
        torch.testing.assert_close(values[:, k].detach(), exact, rtol=0, atol=2e-6)
    # The last three coefficients make value, slope and curvature at the end.
    ends = torch.tensor([[1, 26, 66, 26, 1], [-1, -10, 0, 10, 1], [1, 2, -6, 2, 1]]).double()
    assert (ends @ table[-5:]).abs().max() < 1e-9


def graph_of(atoms):
    """Codes of the atoms, and vectors and ends of their edges up to 5 Å."""
    index, shifts = edges_of(atoms, 5.0)
    x = torch.tensor(atoms.positions)
    return torch.zeros(len(atoms), dtype=torch.int64), x[index[0]] - x[index[1]] + shifts, index


def calibrated(species=("Si",), **options):
    torch.manual_seed(0)
    atoms = bulk("Si", "diamond", 5.43, cubic=True) * 2
    atoms.rattle(0.1, seed=1)
    model = ACE(list(species), 5.0, size="small", **{"dtype": "float64", **options})
    codes, vectors, index = graph_of(atoms)
    model.calibrate(codes, vectors, index, [len(atoms)] * 2, [index.size(1)])
    return model, atoms


def test_calibration_standardises_the_features():
    model, atoms = calibrated()
    codes, vectors, index = graph_of(atoms)
    features = model.node_features(codes, vectors, index, [len(atoms)] * 2, [index.size(1)])
    assert features.mean(0).abs().max() < 1e-9
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(model.width).double())
    shortest = vectors.norm(dim=1).min()
    assert model.cores.core.item() == pytest.approx(min(shortest.item(), 0.85 * 2 * 1.11))


def test_strong_directions_of_the_density_and_low_harmonics_count_more():
    model, atoms = calibrated()
    codes, vectors, index = graph_of(atoms)
    sums = model.sums(codes, vectors, index, len(atoms))
    for degree in range(model.highest + 1):
        density = sums[:, degree**2 : (degree + 1) ** 2].flatten(0, 1)
        if degree == 0:
            density = density - density.mean(0)
        raw = torch.linalg.eigvalsh(density.T @ density / len(density)).flip(0)
        channels = density @ model.white[degree].T
        kept = channels.square().mean(0).flip(0)  # variances, of the strongest direction first
        assert kept.mean().item() == pytest.approx(1 / (1 + degree), rel=0.05)
        # Of directions well above the least, variances go with the root of the density's.
        for k in range(1, 3):
            assert raw[k] > 2e-3 * raw[0]
            ratio = (raw[k] / raw[0]).sqrt().item()
            assert (kept[k] / kept[0]).item() == pytest.approx(ratio, rel=0.1)


def test_an_atom_alone_has_the_reference_energy_and_the_bulk_does_not_feel_it():
    model, atoms = calibrated()
    codes, x = torch.tensor([0]), torch.zeros(1, 3, dtype=torch.float64)
    assert free_energies(model, codes, x).item() == 0.0
    index, shifts = edges_of(atoms, 5.0)
    zeros = torch.zeros(len(atoms), dtype=torch.int64)
    before = energies(model, zeros, torch.tensor(atoms.positions), index, shifts)
    model.dilute *= 1e-3
    after = energies(model, zeros, torch.tensor(atoms.positions), index, shifts)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def pair(model, distance):
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.6, 0.8]], dtype=torch.float64)
    x[1] *= distance
    return free_energies(model, torch.tensor([0, 0]), x).sum().item()


def repulsion(distance):
    """Two nuclei of silicon, not switched off (eV)."""
    charge, decay, r = torch.tensor([*charge_and_decay(14, 14), distance], dtype=torch.float64)
    return screened(charge, decay, r, WEIGHTS, DECAYS).item()


def test_atoms_at_short_distance_repel_as_nuclei_do():
    model, _ = calibrated()
    # The network sees atoms that are closer than 3/4 of the core as if they were not there.
    for distance in np.linspace(0.2, 0.75 * model.cores.core.item(), 10):
        assert pair(model, distance) == pytest.approx(repulsion(distance), rel=1e-9)


def test_nothing_jumps_where_atoms_enter_the_core():
    model, _ = calibrated()
    for end in (1.0, 0.9, 0.75):
        x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)

        def derivatives(shift, x=x, end=end):
            away = torch.zeros(2, 3, dtype=torch.float64)
            away[1, 2] = model.cores.core.item() * end + shift
            energy = free_energies(model, torch.tensor([0, 0]), x + away).sum()
            first = torch.autograd.grad(energy, x, create_graph=True)[0][1, 2]
            second = torch.autograd.grad(first, x)[0][1, 2]
            return torch.stack([energy, first, second]).detach()

        torch.testing.assert_close(derivatives(1e-7), derivatives(-1e-7), rtol=1e-3, atol=1e-3)


def test_the_repulsion_is_in_units_of_the_training():
    model, _ = calibrated()
    model.set_scale(0.5)
    assert 0.5 * pair(model, 0.4) == pytest.approx(repulsion(0.4), rel=1e-9)
    silent, _ = calibrated(repulsion=False)
    assert abs(pair(silent, 0.4)) < 1e-12


def test_many_elements_share_channels():
    species = ["Si", "O", "C", "H", "N", "F"]
    torch.manual_seed(1)
    model = ACE(species, 4.0, size="small", dtype="float64")
    x, codes = torch.tensor(cluster(18)), torch.arange(18) % 6
    separate = ACE(["Si", "O"], 4.0, size="small")
    assert model.mix.size(1) == 2 * separate.mix.size(1)
    with torch.no_grad():
        before = free_energies(model, codes, x)
        model.embedding[5] += 1.0
        changed = (free_energies(model, codes, x) - before).abs() > 1e-12
    near = torch.cdist(x, x[codes == 5])
    sees_fluorine = ((near < model.cutoff) & (near > 0)).any(1)
    assert torch.equal(changed, sees_fluorine)


def test_sizes_by_name():
    counts = [
        sum(weight.numel() for weight in ACE(["Si"], size=size).parameters()) for size in SIZES
    ]
    assert counts == sorted(counts)
    assert ACE(["Si"], size="small").arguments["channels"] == SIZES["small"].channels
    changed = ACE(["Si"], size="small", channels=12)
    assert changed.width == 12 * SIZES["small"].densities


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "size is 'huge', expected small | default | large"),
        ({"degrees": []}, r"degrees is \[\], expected one to three numbers from 1 to 6"),
        ({"degrees": [3, 7]}, r"degrees is \[3, 7\], expected one to three"),
        ({"channels": 0}, "channels is 0, expected a whole number, at least 1"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(TorchMLError, match=message):
        ACE(SPECIES, **options)


def test_energies_change_with_the_elements():
    model = make("ACE")
    x, codes = torch.tensor(cluster(12)), torch.arange(12) % 2
    assert (free_energies(model, codes, x) - free_energies(model, 1 - codes, x)).abs().min() > 1e-6


def energies_and_slopes(model, codes, x):
    x = x.clone().requires_grad_()
    found = free_energies(model, codes, x)
    return found.detach(), torch.autograd.grad(found.sum(), x)[0]


STRUCTURE = cluster(22, 5.0)


def varied(species, **options):
    """A model all of whose numbers differ, as after a training."""
    torch.manual_seed(3)
    model = ACE(
        species,
        3.5,
        size="small",
        channels=9,
        radial_functions=5,
        **{"dtype": "float64", **options},
    )
    x, codes = torch.tensor(STRUCTURE), torch.arange(len(STRUCTURE)) % len(species)
    index, _ = edges_of(Atoms(positions=STRUCTURE), 3.5)
    vectors = (x[index[0]] - x[index[1]]).to(model.table.dtype)
    model.calibrate(codes, vectors, index, [len(x)] * 2, [index.size(1)])
    model.set_scale(0.8)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return model


# Two atoms in each other's core, two that hardly have neighbours, and one without.
ENDS = [[0, 0, 0], [0, 0, 0.4], [0, 0, 30], [0, 0, 33.4], [0, 0, 60]]
ENDS = torch.tensor(ENDS, dtype=torch.float64)


@pytest.mark.parametrize(
    ("species", "options"),
    [
        (["Si"], {}),
        (["Si", "O"], {"hidden": 0}),
        (["Si", "O"], {"repulsion": False}),
        (["Si", "O", "C", "H", "N", "F"], {"degrees": [2, 2, 1]}),
    ],
)
def test_simulations_have_the_same_energies_and_forces(species, options):
    model = varied(species, **options)
    x = torch.cat([torch.tensor(STRUCTURE), ENDS - 3.0])
    codes = torch.arange(len(x)) % len(species)
    expected = energies_and_slopes(model, codes, x)
    fast = model.for_simulation()
    for value, exact in zip(energies_and_slopes(fast, codes, x), expected, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-10, atol=1e-10 * exact.abs().max().item())
    assert not any(weight.requires_grad for weight in fast.parameters())


def test_simulations_in_float32():
    model = varied(["Si", "O"], dtype="float32")
    x, codes = torch.tensor(STRUCTURE), torch.arange(len(STRUCTURE)) % 2
    exact = energies_and_slopes(copy.deepcopy(model).double(), codes, x)
    for value, expected in zip(
        energies_and_slopes(model.for_simulation(), codes, x), exact, strict=True
    ):
        assert (value - expected).abs().max() < 2e-5 * expected.abs().max()


def test_an_export_takes_the_form_of_simulations():
    scaled = Scaled(varied(["Si", "O"]))
    scaled.set_normalization({"Si": -3.0, "O": 5.0}, 0.7)
    x, codes = torch.tensor(STRUCTURE), torch.arange(len(STRUCTURE)) % 2
    fast = scaled.for_simulation()
    assert isinstance(fast.network, SimulationACE)
    exact, found = free_energies(scaled, codes, x), free_energies(fast, codes, x)
    torch.testing.assert_close(found, exact.detach(), rtol=1e-10, atol=1e-10)
    with pytest.raises(RuntimeError, match="second derivatives"):
        second_derivative(fast, codes, x)


def second_derivative(model, codes, x):
    x = x.clone().requires_grad_()
    energy = free_energies(model, codes, x).sum()
    (gradient,) = torch.autograd.grad(energy, x, create_graph=True)
    return torch.autograd.grad(gradient[0, 0], x)


def test_weights_of_float32_are_invariant_in_float64():
    model = varied(["Si", "O"], dtype="float32").double()
    x, codes = torch.tensor(STRUCTURE), torch.arange(len(STRUCTURE)) % 2
    turn = torch.tensor(Rotation.from_euler("xyz", [0.3, 1.0, 2.0]).as_matrix())
    for one in (model, model.for_simulation()):
        here, turned = free_energies(one, codes, x), free_energies(one, codes, x @ turn.T)
        assert (here - turned).abs().max() < 1e-12 * here.abs().max()
