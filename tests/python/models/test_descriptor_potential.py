"""Networks on the descriptors of the C++ library as models that train."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.io import write

from helpers.labelled import labelled
from helpers.networks import CUTOFF, SPECIES, cluster, edges_of, energies, free_energies, make
from torchml import Potential, TorchMLError
from torchml.contract import metadata
from torchml.descriptors import Descriptor
from torchml.export import Export, export
from torchml.importers.checkpoint import load_model
from torchml.models import DescriptorPotential, Scaled, build, describe, script
from torchml.training import fit

KINDS = {
    "SymmetryFunctions": {"preset": "shifted", "radial": 3, "angular": 1, "zetas": [2]},
    "Bispectrum": {"twojmax": 4, "weights": {"Si": 1.0, "O": 0.5}},
    "SOAP": {"n_max": 3, "l_max": 2},
    "Xi": {"q": 2},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def potential(kind: str, dtype: str = "float64") -> DescriptorPotential:
    torch.manual_seed(0)
    return DescriptorPotential(SPECIES, CUTOFF, kind, KINDS[kind], [8], dtype)


@pytest.fixture
def structure() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(cluster(12, 4.2)), torch.arange(12) % 2


@every_kind
def test_energies_are_those_of_the_networks_of_the_elements(kind, structure):
    x, codes = structure
    model = potential(kind)
    symbols = [SPECIES[code] for code in codes]
    values = torch.tensor(
        Descriptor(model.descriptor.parameters).compute(Atoms(symbols, x.numpy()))
    )
    expected = torch.stack([model.networks(values, codes * 0 + k) for k in range(2)])
    found = free_energies(model, codes, x)
    torch.testing.assert_close(found, expected.gather(0, codes[None])[0], rtol=0, atol=1e-13)
    assert (expected[0] - expected[1]).abs().min() > 1e-6


@every_kind
def test_forces_are_the_derivative_of_the_energy(kind, structure):
    x, codes = structure
    model = potential(kind)
    edge_index, _ = edges_of(Atoms(positions=x.detach().numpy()), CUTOFF)

    def energy(positions):
        return energies(model, codes, positions, edge_index).sum()

    assert torch.autograd.gradcheck(energy, (x.clone().requires_grad_(),), atol=1e-6, rtol=1e-5)


@every_kind
def test_a_loss_of_forces_has_the_derivative_by_the_weights(kind, structure):
    x, codes = structure
    model = potential(kind)
    edge_index, _ = edges_of(Atoms(positions=x.detach().numpy()), CUTOFF)
    vectors = x[edge_index[0]] - x[edge_index[1]]
    model.calibrate(codes, vectors, edge_index, [12, 12], [len(vectors)])
    weights = [one for one in model.parameters() if one.dim() == 2]

    def loss():
        positions = x.clone().requires_grad_()
        energy = free_energies(model, codes, positions).sum()
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
        return gradient.square().sum()

    slopes = torch.autograd.grad(loss(), weights)
    for weight, slope in zip(weights, slopes, strict=True):
        direction = torch.randn_like(weight)
        ends = []
        for step in (1e-4, -2e-4):
            with torch.no_grad():
                weight += step * direction
            ends.append(loss().item())
        with torch.no_grad():
            weight += 1e-4 * direction
        expected = (ends[0] - ends[1]) / 2e-4
        assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_edges_come_in_any_order(structure):
    x, codes = structure
    model = potential("SOAP")
    edge_index, _ = edges_of(Atoms(positions=x.detach().numpy()), CUTOFF)
    shuffled = edge_index[:, torch.randperm(edge_index.size(1))]
    found = [energies(model, codes, x, one) for one in (edge_index, shuffled)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)


def metals(count: int) -> list[Atoms]:
    """Cells of copper and gold with labels, smaller than the cutoff."""
    generator = np.random.default_rng(1)
    made = []
    for k in range(count):
        atoms = Atoms(["Cu2Au2", "Cu3Au"][k % 2], cell=np.eye(3) * 3.9, pbc=True)
        atoms.set_scaled_positions([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        atoms.positions += generator.normal(scale=0.1, size=(4, 3))
        made.append(labelled(atoms))
    return made


@pytest.mark.parametrize(("kind", "dtype"), [("SOAP", "float64"), ("SymmetryFunctions", "float32")])
def test_training_export_and_simulation_agree(kind, dtype, tmp_path):
    """From labelled structures with stress to a portable model: one model all the way."""
    write(tmp_path / "metals.extxyz", metals(8))
    arguments = {"cutoff": 4.0, "descriptor": kind, "hidden": [8], "dtype": dtype}
    run = fit(
        {
            "data": {"train": str(tmp_path / "metals.extxyz"), "split": {"val": 2}},
            "model": {
                "class_path": "S2EF",
                "init_args": {
                    "model": {"class_path": "DescriptorPotential", "init_args": arguments},
                    "stress_coefficient": 0.1,
                    "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
                },
            },
            "ema": None,
            "plots": False,
            "trainer": {"max_epochs": 8, "default_root_dir": str(tmp_path / "run")},
        }
    )
    losses = [
        float(line.split(",")[column])
        for lines in [(tmp_path / "run/logs/csv/version_0/metrics.csv").read_text().splitlines()]
        for column in [lines[0].split(",").index("train/loss")]
        for line in lines[1:]
        if line.split(",")[column]
    ]
    assert losses[-1] < 0.7 * losses[0] and np.isfinite(losses).all()

    result = export(Export(run.best, "Metals", output=tmp_path))
    assert result.folder is not None, result.checks
    eager = load_model(run.best)
    eager.network.to(torch.float64)  # as the export does
    for atoms in metals(2):
        atoms.positions += 0.02
        codes = torch.tensor([eager.species.index(symbol) for symbol in atoms.symbols])
        edge_index, shifts = edges_of(atoms, eager.cutoff)
        x = torch.tensor(atoms.positions, requires_grad=True)
        energy = energies(eager, codes, x, edge_index, shifts).sum()
        (gradient,) = torch.autograd.grad(energy, x)
        for path in (result.folder, run.best):
            found = Potential(path).evaluate(atoms)
            assert found.energy == pytest.approx(energy.item(), abs=1e-10)
            np.testing.assert_allclose(found.forces, -gradient.numpy(), rtol=0, atol=1e-9)


@every_kind
def test_each_kind_has_defaults_and_is_built_again(kind):
    model = DescriptorPotential(["Cu"], 4.0, kind)
    arguments = yaml.safe_load(yaml.safe_dump(model.arguments))
    assert build("DescriptorPotential", arguments).descriptor.parameters == (
        model.descriptor.parameters
    )


def test_only_the_convention_of_descriptors_fits():
    model = make("DescriptorPotential")
    for one in (model, Scaled(model)):
        for convention in ("edges", "graph", "none"):
            with pytest.raises(TorchMLError, match=f"'{convention}', expected 'descriptor'"):
                script(one, convention)
        facts = describe(one, "descriptor")
        assert (facts.descriptor, facts.species_input) == ("Bispectrum", "code")


def test_the_script_has_the_scale_and_the_references(structure, tmp_path):
    x, codes = structure
    model = Scaled(make("DescriptorPotential"))
    model.set_normalization({"Si": -3.0, "O": 5.0}, 0.7)
    values = model.network.descriptor.compute(Atoms([SPECIES[code] for code in codes], x.numpy()))
    with metadata.quiet_torchscript():
        scripted = script(model, "descriptor")(torch.tensor(values), codes)
    torch.testing.assert_close(scripted, free_energies(model, codes, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"parameters": "set52"}, "preset 'set52' is unknown, expected one of: set51"),
        ({"parameters": "snap_2j6"}, "preset is a Bispectrum, expected SymmetryFunctions"),
        ({"descriptor": "ACSF"}, "kind is 'ACSF', expected one of: SymmetryFunctions"),
        ({"descriptor": "Xi", "parameters": {"q": 99}}, "Xi has q 99, expected 0 to 15"),
        ({"hidden": [0]}, "hidden is 0, expected a whole number"),
        ({"cutoff": -1.0}, "cutoff is -1.0, expected a positive"),
    ],
)
def test_wrong_arguments_are_refused(changes, complaint):
    with pytest.raises(TorchMLError, match=complaint):
        build("DescriptorPotential", {"species": ["Si"], "cutoff": 4.0, **changes})
