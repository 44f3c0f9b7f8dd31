"""Descriptors of structures in Python: ASE's Atoms, periodic cells, batches, and torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from torchml.descriptors import (
    SOAP,
    Bispectrum,
    Descriptor,
    Environments,
    SymmetryFunctions,
    Xi,
    load_parameters,
    preset,
)
from torchml.descriptors.autograd import (
    Linearization,
    descriptor_values,
    edge_vectors,
    linearize,
)
from torchml.errors import TorchMLError
from torchml.models.descriptor_network import DescriptorNetwork, ElementNetworks

FUNCTIONS = {
    "g1": None,
    "g2": [{"eta": 0.05, "Rs": 0.0}, {"eta": 0.4, "Rs": 2.0}],
    "g4": [{"zeta": 1, "lambda": -1, "eta": 0.01}, {"zeta": 4, "lambda": 1, "eta": 0.05}],
    "g5": [{"zeta": 2, "lambda": 1, "eta": 0.02}],
}
PAIRS = {"Si-Si": 4.2, "Si-C": 3.6, "C-C": 3.1}
KINDS = {
    "functions": SymmetryFunctions(["Si", "C"], 4.0, FUNCTIONS),
    "pairs": SymmetryFunctions(["Si", "C"], PAIRS, FUNCTIONS),
    "bispectrum": Bispectrum(["Si", "C"], 4.0, twojmax=3, weights=[1.0, 0.6]),
    "soap": SOAP(["Si", "C"], 4.0, n_max=2, l_max=3),
    "xi": Xi(["Si", "C"], 4.0, q=2),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def silicon_carbide(repeat: tuple[int, int, int] = (1, 1, 1), seed: int = 3) -> Atoms:
    """Two atoms in a cell that is much smaller than the cutoff, a little off their places."""
    atoms = bulk("SiC", "zincblende", a=4.36)
    atoms.rattle(0.1, seed=seed)
    deformation = np.array([[1, 0.03, 0], [0.03, 1, 0], [0, 0, 1.02]])
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return atoms.repeat(repeat)


def cluster(seed: int = 5) -> Atoms:
    random = np.random.default_rng(seed)
    atoms = molecule("C6H6")
    atoms.symbols[:] = random.choice(["Si", "C"], len(atoms))
    atoms.positions *= 1.5
    atoms.positions += random.normal(scale=0.1, size=atoms.positions.shape)
    return atoms


def cotangent_of(shape: tuple[int, ...], seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@each_kind
def test_a_small_cell_is_like_a_large_one(kind):
    """Each atom sees its own images; values and stress are those of a supercell."""
    descriptor = Descriptor(KINDS[kind])
    small, large = silicon_carbide(), silicon_carbide((3, 2, 4))
    assert min(small.cell.lengths()) < 0.8 * descriptor.cutoff
    values = descriptor.compute(small)
    assert values.shape == (2, descriptor.width)
    np.testing.assert_allclose(
        descriptor.compute(large), np.tile(values, (24, 1)), atol=1e-11 * np.abs(values).max()
    )
    cotangent = cotangent_of(values.shape)
    one = descriptor.vjp(small, cotangent)
    many = descriptor.vjp(large, np.tile(cotangent, (24, 1)))
    scale = np.abs(one.positions).max()
    np.testing.assert_allclose(many.forces, np.tile(one.forces, (24, 1)), atol=1e-11 * scale)
    np.testing.assert_allclose(many.stress, one.stress, atol=1e-12 * scale)


@each_kind
def test_forces_and_stress_are_derivatives(kind):
    """Central differences of sum(cotangent * values) by positions and by strains."""
    descriptor = Descriptor(KINDS[kind])
    atoms = silicon_carbide()
    cotangent = cotangent_of((2, descriptor.width))
    gradient = descriptor.vjp(atoms, cotangent)

    def change(deform, h: float) -> float:
        total = 0.0
        for sign in (1, -1):
            moved = atoms.copy()
            deform(moved, sign * h)
            total += sign * float(np.sum(cotangent * descriptor.compute(moved)))
        return total / (2 * h)

    def displace(moved: Atoms, h: float) -> None:
        moved.positions[1, 2] += h

    scale = np.abs(cotangent).max() * np.abs(descriptor.compute(atoms)).max()
    assert change(displace, 1e-4) == pytest.approx(gradient.positions[1, 2], abs=1e-6 * scale)
    np.testing.assert_allclose(gradient.positions.sum(0), 0, atol=1e-11 * scale)
    for place, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):

        def stretch(moved: Atoms, h: float, a: int = a, b: int = b) -> None:
            strain = np.zeros((3, 3))
            strain[a, b] += h / 2
            strain[b, a] += h / 2
            moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)

        assert change(stretch, 1e-5) == pytest.approx(gradient.virial[place], abs=2e-6 * scale)
    np.testing.assert_allclose(gradient.stress * atoms.get_volume(), gradient.virial, rtol=1e-14)


@each_kind
def test_the_jacobian_contains_all_products(kind):
    descriptor = Descriptor(KINDS[kind])
    atoms = silicon_carbide((2, 1, 1))
    jacobian = descriptor.jacobian(atoms)
    assert jacobian.shape == (4, descriptor.width, 4, 3)
    cotangent = cotangent_of((4, descriptor.width))
    gradient = descriptor.vjp(atoms, cotangent).positions
    np.testing.assert_allclose(
        np.einsum("cd,cdax->ax", cotangent, jacobian), gradient, atol=1e-11 * abs(gradient).max()
    )
    part = descriptor.jacobian(atoms, [2])
    np.testing.assert_allclose(part, jacobian[[2]], atol=1e-12 * abs(jacobian).max())


@each_kind
def test_a_batch_is_its_structures(kind):
    descriptor = Descriptor(KINDS[kind])
    structures = [silicon_carbide(), cluster(), Atoms("C", [[0, 0, 0]]), cluster(6)]
    values = descriptor.compute(structures)
    cotangents = [cotangent_of(one.shape) for one in values]
    gradients = descriptor.vjp(structures, cotangents)
    for atoms, value, cotangent, gradient in zip(
        structures, values, cotangents, gradients, strict=True
    ):
        np.testing.assert_array_equal(descriptor.compute(atoms), value)
        alone = descriptor.vjp(atoms, cotangent)
        np.testing.assert_allclose(gradient.positions, alone.positions, rtol=0, atol=1e-12)
        np.testing.assert_allclose(gradient.virial, alone.virial, rtol=0, atol=1e-11)
    some = descriptor.compute(structures, [[1], [0, -1], [], range(3)])
    assert [len(one) for one in some] == [1, 2, 0, 3]
    np.testing.assert_array_equal(some[1], values[1][[0, -1]])
    assert descriptor.compute([]) == []


def test_indices_choose_rows():
    descriptor = Descriptor(KINDS["functions"])
    atoms = cluster()
    values = descriptor.compute(atoms)
    np.testing.assert_array_equal(descriptor.compute(atoms, [3, 0, -2]), values[[3, 0, -2]])
    cotangent = cotangent_of((2, descriptor.width))
    spread = np.zeros_like(values)
    spread[[5, 1]] = cotangent
    np.testing.assert_allclose(
        descriptor.vjp(atoms, cotangent, [5, 1]).forces,
        descriptor.vjp(atoms, spread).forces,
        atol=1e-13,
    )


def test_lists_of_ones_own():
    """Atoms and ghosts as a simulator hands them over give the same as the cell."""
    from torchml.neighbors import periodic_particles

    descriptor = Descriptor(KINDS["pairs"])
    atoms = silicon_carbide()
    particles = periodic_particles(atoms.positions, atoms.cell.array, True, 4.2, 4.2)
    environments = Environments.from_lists(
        particles.coordinates,
        np.array([0, 1])[particles.image_of],
        [0, 1],
        particles.neighbor_offsets[:3],
        particles.neighbors,
    )
    np.testing.assert_array_equal(descriptor.compute(environments), descriptor.compute(atoms))
    cotangent = cotangent_of((2, descriptor.width))
    ghosts = descriptor.vjp(environments, cotangent)
    folded = descriptor.vjp(atoms, cotangent)
    np.testing.assert_allclose(particles.fold(ghosts.positions), folded.positions, atol=1e-12)
    np.testing.assert_allclose(ghosts.virial, folded.virial, atol=1e-12)
    with pytest.raises(TorchMLError, match="no stress without a cell"):
        _ = ghosts.stress


def test_errors_say_what_was_expected():
    descriptor = Descriptor(KINDS["functions"])
    atoms = cluster()
    with pytest.raises(TorchMLError, match="atom 0 is Ge, but the descriptor knows only Si C"):
        descriptor.compute(Atoms("Ge"))
    with pytest.raises(TorchMLError, match="indices name atom 12, expected 0 to 11"):
        descriptor.compute(atoms, [12])
    with pytest.raises(TorchMLError, match="expected a list of atoms"):
        descriptor.compute(atoms, [0.5])
    with pytest.raises(TorchMLError, match=r"shape \[3, 6\], expected \[12, 6\]"):
        descriptor.vjp(atoms, np.zeros((3, 6)))
    with pytest.raises(TorchMLError, match="1 cotangents are given for 2 structures"):
        descriptor.vjp([atoms, atoms], [np.zeros((12, 6))])
    with pytest.raises(TorchMLError, match="1 lists of indices are given for 2 structures"):
        descriptor.compute([atoms, atoms], [[0]])
    with pytest.raises(TorchMLError, match="neighbors are 0 to 7, expected 0 to 1"):
        Environments.from_lists(np.eye(2, 3), [0, 0], [0], [0, 2], [0, 7])
    with pytest.raises(TorchMLError, match="expected 2 ascending numbers"):
        Environments.from_lists(np.eye(2, 3), [0, 0], [0], [0, 1, 1], [1])
    with pytest.raises(TorchMLError, match="a structure is a ndarray, expected Atoms of ASE"):
        descriptor.compute(atoms.positions)
    with pytest.raises(TorchMLError, match="are 'set51', expected SymmetryFunctions, Bispectrum"):
        Descriptor("set51")


def test_importing_is_light():
    code = (
        "import sys, torchml.descriptors as d;"
        "d.Descriptor(d.SymmetryFunctions(['Si'], 5.0));"
        "sys.exit(any(name in sys.modules for name in ('torch', 'ase', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------- torch


@each_kind
def test_torch_knows_the_first_derivative(kind):
    descriptor = Descriptor(KINDS[kind])
    environments = descriptor.environments(silicon_carbide(), [0])
    near = np.argsort(np.linalg.norm(environments.vectors, axis=1))[:4]
    environments = Environments.from_lists(
        np.concatenate([np.zeros((1, 3)), environments.vectors[near]]),
        np.concatenate([[0], environments.neighbor_species[near]]),
        [0],
        [0, 4],
        range(1, 5),
    )
    vectors = torch.tensor(environments.vectors, requires_grad=True)
    scale = float(np.abs(descriptor.compute(environments)).max())
    assert torch.autograd.gradcheck(
        lambda v: descriptor_values(descriptor, environments, v) / scale, vectors, atol=1e-6
    )


@each_kind
def test_torch_differentiates_products_again(kind):
    """J^T c by c, which trains networks on forces, and J v by v."""
    descriptor = Descriptor(KINDS[kind])
    environments = descriptor.environments(silicon_carbide(), [1])
    vectors = torch.tensor(environments.vectors, requires_grad=True)
    scale = float(np.abs(descriptor.compute(environments)).max())

    def pulled(cotangent: torch.Tensor) -> torch.Tensor:
        values = descriptor_values(descriptor, environments, vectors) / scale
        (gradient,) = torch.autograd.grad(values, vectors, cotangent, create_graph=True)
        return gradient

    cotangent = torch.tensor(cotangent_of((1, descriptor.width)), requires_grad=True)
    assert torch.autograd.gradcheck(pulled, cotangent)
    assert torch.autograd.gradgradcheck(pulled, cotangent)
    jacobian = torch.from_numpy(descriptor.edge_jacobian(environments)) / scale
    direction = torch.tensor(cotangent_of(vectors.shape))
    (pushed,) = torch.autograd.grad(pulled(cotangent), cotangent, direction)
    expected = torch.einsum("edx,ex->d", jacobian, direction)
    torch.testing.assert_close(pushed[0], expected, atol=1e-12, rtol=1e-12)


@each_kind
def test_quick_products_are_close(kind):
    descriptor = Descriptor(KINDS[kind])
    environments = descriptor.environments(silicon_carbide((2, 1, 1)))
    exact, quick = (pushed_forward(descriptor, environments, quick) for quick in (False, True))
    torch.testing.assert_close(quick, exact, atol=1e-8 * float(exact.abs().max()), rtol=0)
    assert not torch.equal(quick, exact)


def pushed_forward(descriptor: Descriptor, environments: Environments, quick: bool) -> torch.Tensor:
    vectors = torch.tensor(environments.vectors, requires_grad=True)
    values = descriptor_values(descriptor, environments, vectors, quick=quick)
    cotangent = torch.ones_like(values).requires_grad_()
    (gradient,) = torch.autograd.grad(values, vectors, cotangent, create_graph=True)
    direction = torch.tensor(cotangent_of(vectors.shape))
    return torch.autograd.grad(gradient, cotangent, direction)[0]


@each_kind
def test_products_are_right_where_an_edge_ends_at_the_cutoff(kind):
    """A difference that crossed the cutoff would be a jump divided by next to nothing."""
    descriptor = Descriptor(KINDS[kind])
    cutoff = descriptor.parameters.cutoffs[0, 0]
    positions = [[0, 0, 0], [0, 0, cutoff - 1e-7], [2.2, 0.3, 0], [0, 2.1, cutoff - 1]]
    environments = Environments.from_lists(positions, [0] * 4, [0], [0, 3], [1, 2, 3])
    exact, quick = (pushed_forward(descriptor, environments, quick) for quick in (False, True))
    torch.testing.assert_close(quick, exact, rtol=1e-12, atol=1e-12)


def loss_of_forces(network, values, gradient_of):
    (cotangent,) = torch.autograd.grad(network(values).sum(), values, create_graph=True)
    return gradient_of(cotangent).square().sum()


@pytest.mark.parametrize("kind", ["functions", "soap"])
def test_networks_train_on_forces(kind):
    """Both ways give the gradients of the weights that finite differences give."""
    torch.manual_seed(0)
    descriptor = Descriptor(KINDS[kind])
    atoms = silicon_carbide((2, 1, 1))
    environments = descriptor.environments(atoms)
    network = DescriptorNetwork(descriptor.width, hidden=[5])
    varied = np.concatenate(descriptor.compute([atoms, cluster(), cluster(6)]))
    network.fit_normalization(torch.from_numpy(varied))

    positions = torch.tensor(atoms.positions, requires_grad=True)
    values = descriptor_values(descriptor, environments, edge_vectors(environments, positions))
    (gradient,) = torch.autograd.grad(network(values).sum(), positions, create_graph=True)
    gradient.square().sum().backward()
    live = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    assert torch.isnan(positions.grad).all()  # no second derivatives, and no wrong ones either

    (cotangent,) = torch.autograd.grad(network(values).sum(), values)
    np.testing.assert_allclose(
        gradient.detach(), descriptor.vjp(atoms, cotangent).positions, atol=1e-12
    )

    network.zero_grad()
    fixed = linearize(descriptor, environments)
    loss = loss_of_forces(network, fixed.values.clone().requires_grad_(), fixed.gradient)
    loss.backward()
    for one, other in zip(network.parameters(), live, strict=False):
        torch.testing.assert_close(one.grad, other, atol=1e-10 * float(other.abs().max()), rtol=0)

    weight = network.network[0].weight
    h, changes = 1e-5, []
    for step in (h, -h):
        with torch.no_grad():
            weight[1, 2] += step
        changes.append(
            loss_of_forces(network, fixed.values.clone().requires_grad_(), fixed.gradient)
        )
        with torch.no_grad():
            weight[1, 2] -= step
    numerical = float((changes[0] - changes[1]).detach() / (2 * h))
    assert float(weight.grad[1, 2]) == pytest.approx(numerical, rel=1e-6, abs=1e-9)


def test_strain_of_edge_vectors_gives_the_virial():
    descriptor = Descriptor(KINDS["functions"])
    atoms = silicon_carbide()
    environments = descriptor.environments(atoms)
    positions = torch.tensor(atoms.positions)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    values = descriptor_values(
        descriptor, environments, edge_vectors(environments, positions, strain)
    )
    np.testing.assert_allclose(values.detach(), descriptor.compute(atoms), atol=1e-13)
    cotangent = cotangent_of(values.shape)
    (virial,) = torch.autograd.grad(values, strain, torch.tensor(cotangent))
    expected = descriptor.vjp(atoms, cotangent).virial
    np.testing.assert_allclose(
        virial.numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], expected, atol=1e-12
    )


def test_linearizations_of_many_structures():
    descriptor = Descriptor(KINDS["functions"])
    structures = [silicon_carbide(), cluster(), Atoms("C", [[0, 0, 0]])]
    parts = [linearize(descriptor, descriptor.environments(one)) for one in structures]
    batch = Linearization.joined(parts)
    cotangents = [cotangent_of((len(one), descriptor.width)) for one in structures]
    cotangent = torch.tensor(np.concatenate(cotangents))
    gradients = descriptor.vjp(structures, cotangents)
    np.testing.assert_allclose(
        batch.gradient(cotangent), np.concatenate([g.positions for g in gradients]), atol=1e-12
    )
    virials = batch.virial(cotangent).numpy()[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(virials, [g.virial for g in gradients], atol=1e-12)
    energies = batch.energies(batch.values[:, 0])
    np.testing.assert_allclose(energies, [v[:, 0].sum() for v in descriptor.compute(structures)])
    single = batch.to(torch.float32)
    assert single.jacobian.dtype == torch.float32 and single.rows.dtype == torch.int64
    with pytest.raises(TorchMLError, match="no structures are given"):
        Linearization.joined([])


def test_float32_stays_float32_and_is_computed_in_float64():
    descriptor = Descriptor(KINDS["functions"])
    atoms = cluster()
    environments = descriptor.environments(atoms)
    vectors = torch.tensor(environments.vectors, dtype=torch.float32, requires_grad=True)
    values = descriptor_values(descriptor, environments, vectors)
    (gradient,) = torch.autograd.grad(values.sum(), vectors)
    assert values.dtype == gradient.dtype == torch.float32
    np.testing.assert_allclose(values.detach(), descriptor.compute(atoms), rtol=2e-5, atol=1e-5)
    with pytest.raises(TorchMLError, match=r"vectors are torch.float16, expected float32 or"):
        descriptor_values(descriptor, environments, vectors.half())
    with pytest.raises(TorchMLError, match=r"vectors have the shape \[3, 3\], expected"):
        descriptor_values(descriptor, environments, vectors[:3])
    with pytest.raises(TorchMLError, match=r"positions have the shape \[3, 3\], expected \[12, 3"):
        edge_vectors(environments, vectors[:3])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_of_a_gpu_come_back_to_it():
    descriptor = Descriptor(KINDS["functions"])
    environments = descriptor.environments(cluster())
    vectors = torch.tensor(environments.vectors, device="cuda", requires_grad=True)
    values = descriptor_values(descriptor, environments, vectors)
    (gradient,) = torch.autograd.grad(values.sum(), vectors)
    assert values.is_cuda and gradient.is_cuda
    fixed = linearize(descriptor, environments).to("cuda")
    torch.testing.assert_close(fixed.edge_gradient(torch.ones_like(fixed.values)), gradient)


# ---------------------------------------------------------------------------------------- networks


def test_networks_are_scripted_and_keep_their_references():
    torch.manual_seed(1)
    descriptor = Descriptor(preset("shifted", ["Si", "C"], 4.0, radial=4, angular=1))
    atoms = cluster()
    values = torch.from_numpy(descriptor.compute(atoms))
    single = DescriptorNetwork(descriptor.width, hidden=[6, 6], reference=-4.0)
    several = ElementNetworks(descriptor.width, 2, hidden=[6], references=[-4.0, -9.0])
    species = torch.from_numpy(descriptor.environments(atoms).center_species.astype(np.int64))
    for network, inputs in ((single, (values,)), (several, (values, species))):
        network.fit_normalization(values)
        normalized = network.normalized(values)
        np.testing.assert_allclose(normalized.mean(0), 0, atol=1e-12)
        assert normalized.std(0, correction=0).max() <= 1 + 1e-12
        energies = network(*inputs)
        assert energies.shape == (len(atoms),)
        torch.testing.assert_close(torch.jit.script(network)(*inputs), energies)
    with torch.no_grad():
        for weight in several.parameters():
            weight.zero_()
    expected = torch.tensor([-4.0, -9.0], dtype=torch.float64)[species]
    torch.testing.assert_close(several(values, species), expected)
    assert DescriptorNetwork(3, dtype="float32")(torch.zeros(2, 3)).dtype == torch.float32


def test_what_the_training_data_lack_does_not_explode():
    """Components that were zero, as of pairs of elements that did not meet, and that are not."""
    network = DescriptorNetwork(3)
    network.fit_normalization(torch.tensor([[5.0, 0.0, 1.0], [1.0, 1e-17, 1.0]]).double())
    inputs = network.normalized(torch.tensor([[3.0, 0.5, 1.0]]).double())
    torch.testing.assert_close(inputs, torch.tensor([[0.0, 0.1, 0.0]]).double())
    network.fit_normalization(torch.zeros(2, 3).double())
    assert network.normalized(torch.ones(1, 3).double()).tolist() == [[1.0, 1.0, 1.0]]


def test_networks_of_wrong_sizes_are_refused():
    with pytest.raises(TorchMLError, match="width is 0"):
        DescriptorNetwork(0)
    with pytest.raises(TorchMLError, match="hidden is -1"):
        DescriptorNetwork(3, hidden=[-1])
    with pytest.raises(TorchMLError, match="references are 1 numbers, expected 2"):
        ElementNetworks(3, 2, references=[1.0])
    with pytest.raises(TorchMLError, match=r"shape \[2, 4\], expected \[atoms, 3\]"):
        DescriptorNetwork(3).fit_normalization(torch.zeros(2, 4))


# -------------------------------------------------------------------------------------------- docs

ROOT = Path(__file__).parents[3]


def test_the_examples_of_the_docs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "descriptors.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    for weight in names["network"].parameters():
        assert weight.grad is None or torch.isfinite(weight.grad).all()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "params.yaml").write_text(block)
    assert Descriptor(load_parameters(tmp_path / "params.yaml")).width == 3


def test_the_kind_of_ones_own_is_that_of_the_docs():
    """tests/cpp compiles the files."""
    page = (ROOT / "docs" / "descriptors.md").read_text(encoding="utf-8")
    for name in ("coordination.hpp", "coordination.cpp"):
        text = (ROOT / "descriptor" / "example" / name).read_text(encoding="utf-8")
        assert f"```cpp\n{text}```" in page
