"""Stillinger-Weber against the literature; models from plain arguments, and back to them."""

from __future__ import annotations

import copy

import jsonargparse
import numpy as np
import pytest
import torch
import yaml
from ase.build import bulk
from ase.calculators.kim import KIM
from ase.neighborlist import primitive_neighbor_list

from helpers.networks import MAKERS, ON_DESCRIPTORS, cluster, free_energies, make
from torchml.errors import TorchMLError
from torchml.models import (
    EdgeModel,
    Scaled,
    SchNet,
    StillingerWeber,
    build,
    describe,
    describe_class,
    script,
)

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_the_result_is_that_of_the_model(dtype):
    for model in (StillingerWeber(dtype=dtype), SchNet(["Si"], 4.0, dtype=dtype)):
        assert dimer_energy(model, torch.tensor(2.4, dtype=dtype)).dtype == dtype


def test_float32_stillinger_weber_is_close_to_float64():
    exact = dimer_energy(StillingerWeber(), torch.tensor(2.2, dtype=torch.float64)).item()
    single = dimer_energy(StillingerWeber(dtype=torch.float32), torch.tensor(2.2)).item()
    assert single == pytest.approx(exact, rel=1e-5)


def test_atoms_without_neighbors():
    model = StillingerWeber()
    vectors = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros((2, 0), dtype=torch.int64)
    energies = model(torch.zeros(3, dtype=torch.int64), vectors, nothing, [3, 3], [0])
    assert energies.tolist() == [0.0, 0.0, 0.0]


class Born(EdgeModel):
    """What a user writes: one class with one method."""

    def __init__(self, species: list[str], cutoff: float, strength: float = 2.0):
        super().__init__(species, cutoff, layers=1)
        self.strength = torch.nn.Parameter(torch.tensor(strength).double())

    def forward(
        self,
        species: torch.Tensor,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> torch.Tensor:
        gap = (self.cutoff - edge_vectors.square().sum(1).sqrt()).clamp(min=0.0)
        pairs = 0.5 * self.strength * gap.square() * gap
        return pairs.new_zeros(species.size(0)).index_add(0, edge_index[1], pairs)


def test_a_users_model_needs_only_forward():
    model = Born(["Si"], 3.0, strength=4.0)
    assert describe_class(model)[1] == {"species": ["Si"], "cutoff": 3.0, "strength": 4.0}
    assert isinstance(build(*describe_class(model)), Born)
    for convention in ("none", "graph", "edges"):
        script(model, convention)
    r = torch.tensor(2.5, dtype=torch.float64)
    assert dimer_energy(Scaled(model), r).item() == pytest.approx(4.0 * 0.5**3)


@pytest.mark.parametrize("name", [*MAKERS, *ON_DESCRIPTORS])
def test_models_are_built_again_from_yaml(name):
    model = make(name)
    path, arguments = describe_class(model)
    again = build(path, yaml.safe_load(yaml.safe_dump(arguments)))
    assert type(again) is type(model)
    assert (again.layers, again.cutoff, again.radial) == (model.layers, model.cutoff, model.radial)
    assert describe_class(again) == (path, arguments)
    again.load_state_dict(model.state_dict())
    x, codes = torch.tensor(cluster(6, 3.0)), torch.arange(6) % 2
    one, other = (free_energies(which, codes, x) for which in (model, again))
    assert torch.equal(one, other)
    copied = copy.deepcopy(model)
    assert describe_class(copied) == (path, arguments)


@pytest.mark.parametrize(
    "name",
    [
        *("SchNet", "PaiNN", "DimeNetPP", "EGNN", "GCN", "GAANet", "BehlerParrinello"),
        "DescriptorPotential",
    ],
)
def test_models_are_chosen_in_yaml(name):
    """By class_path and init_args, with numbers in the forms that YAML gives them."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=EdgeModel)
    text = f"""
    class_path: torchml.models.{name}
    init_args: {{species: [Si, O], cutoff: 4, dtype: float32}}
    """
    model = parser.instantiate(parser.parse_object({"model": yaml.safe_load(text)})).model
    assert model.arguments["cutoff"] == 4.0 and model.arguments["dtype"] == "float32"
    assert all(one.dtype == torch.float32 for one in model.parameters())
    assert describe(model, model.convention).dtype == "float32"
    with pytest.raises(jsonargparse.ArgumentError, match="widht"):
        parser.parse_object(
            {"model": {"class_path": f"torchml.models.{name}", "init_args": {"widht": 3}}}
        )


@pytest.mark.parametrize(
    ("class_path", "arguments", "complaint"),
    [
        ("torchml.models.PaiN", {}, "no model class 'torchml.models.PaiN'"),
        ("nowhere.PaiNN", {}, "no model class 'nowhere.PaiNN': No module named 'nowhere'"),
        ("", {}, "no model class ''"),
        ("torch.nn.Linear", {}, "'torch.nn.Linear' is not a model class"),
        (
            "PaiNN",
            {"species": ["Si"], "cutof": 3.0},
            "PaiNN has no argument 'cutof', expected: species cutoff",
        ),
        ("PaiNN", {"species": ["Si"]}, "PaiNN cannot be built .* missing .* 'cutoff'"),
        ("PaiNN", {"species": [], "cutoff": 3.0}, r"species is \[\], expected a list"),
        ("PaiNN", {"species": "Si", "cutoff": 3.0}, "species is 'Si', expected a list"),
        ("PaiNN", {"species": ["Sx"], "cutoff": 3.0}, "Sx"),
        ("PaiNN", {"species": ["O", "O"], "cutoff": 3.0}, "a symbol occurs twice"),
        ("GCN", {"species": ["O"], "cutoff": -1.0}, "cutoff is -1.0, expected a positive"),
        ("GCN", {"species": ["O"], "cutoff": float("nan")}, "cutoff is nan, expected a positive"),
        ("EGNN", {"species": ["O"], "cutoff": 3.0, "layers": 0}, "layers is 0, expected a whole"),
        ("SchNet", {"species": ["O"], "cutoff": 3.0, "features": 0}, "features is 0, expected"),
        ("GAANet", {"species": ["O"], "cutoff": 3.0, "dtype": "half"}, "dtype is 'half', expected"),
        (
            "BehlerParrinello",
            {"species": ["O"], "cutoff": 3.0, "angular": "G3"},
            "angular is 'G3', expected G4 | G5",
        ),
        (
            "BehlerParrinello",
            {"species": ["O"], "cutoff": 3.0, "zetas": [1, 0]},
            "zetas is 0, expected a whole number",
        ),
        (
            "BehlerParrinello",
            {"species": ["O"], "cutoff": 3.0, "radial_parameters": [[1.0]]},
            r"not a pair, expected \[eta, shift\]",
        ),
    ],
)
def test_wrong_descriptions_are_refused_in_one_sentence(class_path, arguments, complaint):
    with pytest.raises(TorchMLError, match=complaint) as error:
        build(class_path, arguments)
    assert "\n" not in str(error.value)


def test_what_no_checkpoint_can_hold_is_refused():
    class Around(Born):
        def __init__(self, inner: torch.nn.Module):
            super().__init__(["Si"], 3.0)

    with pytest.raises(TorchMLError, match=r"the argument 'inner' of .*Around is a Identity"):
        describe_class(Around(torch.nn.Identity()))


def test_scaled_energies():
    network = StillingerWeber(dtype="float32")
    model = Scaled(network)
    model.set_normalization({"Si": -100000.0}, 2.0)
    r = torch.tensor(2.3)
    found = dimer_energy(model, r)
    assert found.dtype == torch.float64
    exact = dimer_energy(StillingerWeber(), r.double()).item()
    assert found.item() + 200000.0 == pytest.approx(2.0 * exact, rel=1e-5)
    facts = describe(model, "edges")
    assert (facts.dtype, facts.radial, facts.species) == ("float32", False, ("Si",))
    with pytest.raises(TorchMLError, match="no reference energy of Si"):
        model.set_normalization({"O": 1.0}, 1.0)


def test_schnet_with_narrow_filters_is_one_with_channels_that_carry_nothing() -> None:
    torch.manual_seed(0)
    wide = SchNet(["Si", "O"], 3.0, layers=2, features=6, gaussians=5)
    narrow = SchNet(["Si", "O"], 3.0, layers=2, features=6, gaussians=5, filters=4)
    assert narrow.arguments["filters"] == 4 and wide.arguments["filters"] is None
    with torch.no_grad():
        for layer in wide.interactions:
            layer.message.weight[4:] = 0  # the last two channels of the convolution
            layer.filters.filter_out.weight[:4, 4:] = 0
    state = wide.state_dict()
    for name, value in narrow.state_dict().items():
        state[name] = state[name][tuple(slice(length) for length in value.shape)]
    narrow.load_state_dict(state)
    positions, codes = torch.tensor(cluster()), torch.arange(20) % 2
    expected = free_energies(wide, codes, positions)
    torch.testing.assert_close(free_energies(narrow, codes, positions), expected)
    index = torch.tensor([[1, 0], [0, 1]])
    vectors = torch.tensor([[1.5, 0.0, 0.0], [-1.5, 0.0, 0.0]], dtype=torch.float64)
    codes = torch.tensor([0, 1])
    scripted = torch.jit.script(narrow)
    torch.testing.assert_close(
        scripted(codes, vectors, index, [2, 2, 2], [2, 2]),
        narrow(codes, vectors, index, [2, 2, 2], [2, 2]),
    )
