"""Models with splines in place of what depends on the distance alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from ase.build import bulk

from helpers import networks
from helpers.checkpoints import save
from helpers.networks import CUTOFF, SPECIES, cluster, make
from helpers.torchscript import refused
from torchml import Potential, TorchMLError
from torchml.cli import export_main
from torchml.contract import metadata
from torchml.export.accuracy import errors_of
from torchml.export.compression import Distances, Splines, compress
from torchml.export.opened import opened
from torchml.models import GCN, EdgeModel, PaiNN, Scaled, SchNet, TensorNet, describe, script
from torchml.models.radial import RadialFunction, lengths, polynomial_envelope

WITH_SEAM = pytest.mark.parametrize("name", ["SchNet", "PaiNN", "TensorNet", "GCN", "Scaled"])


def evaluate(model, x, codes):
    """Energies, and dE/d(vectors) of their sum."""
    away = (x[None] - x[:, None]).norm(dim=2)
    target, source = torch.nonzero((away < CUTOFF) & (away > 0)).T
    vectors = (x[source] - x[target]).requires_grad_()
    index = torch.stack([source, target])
    energies = model(codes, vectors, index, *counts(model, len(x), len(vectors)))
    return energies.detach(), torch.autograd.grad(energies.sum(), vectors)[0]


@pytest.fixture(scope="module")
def structure():
    return torch.tensor(cluster()), torch.arange(20) % 2


@WITH_SEAM
def test_energies_and_forces_are_those_of_the_network(name, structure):
    x, codes = structure
    model = make(name)
    made = compress(model, 1e-10)
    assert any(isinstance(part, Splines) for part in made.model.modules())
    assert made.error <= 1e-10 and made.intervals >= 64
    for one, other in zip(evaluate(made.model, x, codes), evaluate(model, x, codes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7 * float(other.abs().max()))


def test_filters_of_a_width_of_their_own_become_splines(structure):
    torch.manual_seed(1)
    model = SchNet(SPECIES, CUTOFF, layers=2, features=8, gaussians=8, filters=6)
    made = compress(model, 1e-10)
    for one, other in zip(
        evaluate(made.model, *structure), evaluate(model, *structure), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7 * float(other.abs().max()))


@WITH_SEAM
def test_accuracy_is_what_was_asked_for(name):
    model = make(name)
    coarse, fine = compress(model, 1e-3), compress(model, 1e-10)
    assert coarse.intervals < fine.intervals and coarse.bytes < fine.bytes
    assert fine.error <= 1e-10 < coarse.error <= 1e-3
    errors = [errors_of(made.model, model).force for made in (coarse, fine)]
    assert errors[1] < 0.1 * errors[0] and errors[1] < 1e-6


@WITH_SEAM
def test_the_original_is_left_alone(name, structure):
    x, codes = structure
    model = make(name)
    before = copy.deepcopy(model.state_dict()), evaluate(model, x, codes)
    compress(model)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before[0].items())
    for one, other in zip(evaluate(model, x, codes), before[1], strict=True):
        assert torch.equal(one, other)


@WITH_SEAM
@pytest.mark.parametrize("convention", ["edges", "graph"])
def test_archives_agree_with_python_through_the_engine(name, convention, tmp_path):
    model = compress(make(name)).model
    path = tmp_path / "model.pt"
    metadata.save(script(model, convention), path, describe(model, convention))
    potential = Potential(path)
    atoms = bulk("Si", "diamond", a=4.2, cubic=True).repeat(2)
    atoms.positions += np.random.default_rng(1).uniform(-0.1, 0.1, atoms.positions.shape)
    atoms.symbols[::3] = "O"
    found = potential.evaluate(atoms, virial=True)
    eager = make(name)
    exact = tmp_path / "exact.pt"
    metadata.save(script(eager, "edges"), exact, describe(eager, "edges"))
    expected = Potential(exact).evaluate(atoms, virial=True)
    assert found.energy == pytest.approx(expected.energy, rel=1e-7)
    scale = np.abs(expected.forces).max()
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(
        found.virial, expected.virial, rtol=0, atol=1e-6 * np.abs(expected.virial).max()
    )


@WITH_SEAM
def test_it_is_smooth_where_a_neighbour_enters(name):
    model = compress(make(name)).model
    codes = torch.tensor([0, 1])
    index = torch.tensor([[1, 0], [0, 1]])
    apart = model(codes, torch.zeros(0, 3).double(), index[:, :0], *counts(model, 2, 0))
    slopes = []
    for gap in (1e-3, 1e-5, 0.0):
        vector = torch.tensor([[0.0, 0.6, 0.8]], dtype=torch.float64) * (CUTOFF - gap)
        vectors = torch.cat([vector, -vector]).requires_grad_()
        energy = model(codes, vectors, index, *counts(model, 2, 2))
        slopes.append(float(torch.autograd.grad(energy.sum(), vectors)[0].abs().max()))
        if gap == 0.0:
            torch.testing.assert_close(energy, apart, rtol=0, atol=1e-14)
    assert slopes[2] == 0.0 and slopes[1] < 0.02 * slopes[0] + 1e-12


def counts(model, nodes, edges):
    return [nodes] * (model.layers + 1), [edges] * model.layers


@WITH_SEAM
def test_single_precision_takes_distances_in_double_precision(name):
    exact = make(name)
    model = compress(exact).model
    (model.network if isinstance(model, Scaled) else model).to(torch.float32)
    found = errors_of(model, exact)
    assert found.force < 3e-5 * max(found.largest, 1.0)


def test_scaled_networks_of_single_precision_are_given_double(tmp_path):
    model = make("Scaled", dtype="float32")
    facts = describe(model, "edges")
    assert (facts.dtype, facts.input_dtype) == ("float32", "float64")
    assert describe(make("EGNN", dtype="float32"), "edges").input_dtype is None
    assert describe(make("PaiNN"), "edges").input_dtype is None
    path = tmp_path / "model.pt"
    metadata.save(script(model, "edges"), path, describe(model, "edges"))
    spec = Potential(path).spec
    assert (spec.dtype, spec.input_dtype) == ("float32", "float64")


class Pairs(EdgeModel):
    """A user's own: pairs of species-blind curves, with a seam and without an expansion."""

    radial = True

    class Curve(RadialFunction):
        def __init__(self, cutoff: float) -> None:
            super().__init__()
            self.cutoff = cutoff
            self.width = torch.nn.Parameter(torch.tensor([0.7, 1.9], dtype=torch.float64))

        def forward(self, expansion: torch.Tensor) -> torch.Tensor:
            r = expansion.unsqueeze(1)
            return torch.exp(-(r * self.width).square()) * polynomial_envelope(r, self.cutoff)

    def __init__(self, species: list[str], cutoff: float) -> None:
        super().__init__(species, cutoff, layers=1)
        self.curve = Pairs.Curve(cutoff)

    def forward(
        self,
        species: torch.Tensor,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> torch.Tensor:
        pairs = self.curve(lengths(edge_vectors)).sum(1)
        return pairs.new_zeros([species.size(0)]).index_add(0, edge_index[1], pairs)


def test_a_users_model_uses_the_seam(structure):
    x, codes = structure
    model = Pairs(SPECIES, CUTOFF)
    made = compress(model)
    assert made.functions == 2
    for one, other in zip(evaluate(made.model, x, codes), evaluate(model, x, codes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_nothing_to_compress_is_said():
    with pytest.raises(TorchMLError, match=r"EGNN has no radial functions .* nothing to compress"):
        compress(make("EGNN"))
    with pytest.raises(TorchMLError, match=r"accuracy of splines is 0, expected"):
        compress(make("SchNet"), 0)


def test_a_compressed_model_is_not_compressed_again():
    with pytest.raises(TorchMLError, match="nothing to compress"):
        compress(compress(make("SchNet")).model)


@pytest.mark.parametrize("cls", [SchNet, PaiNN, TensorNet, GCN])
def test_names_in_checkpoints_are_those_of_older_versions(cls):
    """What the seam is made of must not show: checkpoints hold these names."""
    model = cls(["Si"], 3.0, layers=2)
    names = set(model.state_dict())
    older = {
        SchNet: {"basis.centers", "interactions.0.filter_in.weight",
                 "interactions.1.filter_out.bias"},
        PaiNN: {"bessel.wavenumbers", "blocks.0.message.filter.weight"},
        TensorNet: {"bessel.wavenumbers", "filter.bias", "interactions.0.filter.0.weight",
                    "interactions.0.filter.2.bias"},
        GCN: {"bessel.wavenumbers", "convolutions.1.weight.weight"},
    }[cls]  # fmt: skip
    assert older <= names
    assert not any("filters" in name or "times" in name for name in names)
    other = cls(["Si"], 3.0, layers=2)
    other.load_state_dict(model.state_dict())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


# --- at the export


@pytest.fixture
def best(tmp_path):
    return save(networks.make("Scaled", dtype="float32"), tmp_path / "best.ckpt")


def test_a_checkpoint_is_exported_compressed(best, tmp_path, capsys):
    assert export_main([str(best), "--compress", "--output", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "compressed" in shown and "splines" in shown and "eV/atom" in shown
    folder = tmp_path / "PaiNN_SiO__MO_000000000000_000"
    assert "compressed: it needs" in (folder / "kimspec.edn").read_text()
    potential = Potential(folder)
    with opened(best) as source:
        exact = Potential(source.archive)
        atoms = bulk("Si", "diamond", a=4.2, cubic=True)
        one, two = potential.evaluate(atoms), exact.evaluate(atoms)
    assert one.energy == pytest.approx(two.energy, abs=1e-6)
    assert one.energy != two.energy  # it is another model


def test_single_precision_tells_its_error(best, tmp_path, capsys):
    order = [str(best), "--compress", "--dtype", "float32", "--output", str(tmp_path)]
    assert export_main(order) == 0
    assert "float32 against float64" in capsys.readouterr().out


def test_too_large_an_error_is_refused(best, tmp_path, capsys):
    order = [str(best), "--compress", "--tolerance", "1e-20", "1e-20", "--output", str(tmp_path)]
    assert export_main(order) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "nothing was written: the check 'compressed' failed" in captured.err
    assert "expected at most 1e-20 eV/atom" in captured.err
    assert not list(tmp_path.glob("PaiNN*"))


def test_archives_are_not_compressed(best, tmp_path, capsys):
    with opened(best) as source:
        assert export_main([str(source.archive), "--compress"]) == 1
    assert "expected a checkpoint to compress" in capsys.readouterr().err


def test_distances_stay_in_double_precision():
    assert Distances()(torch.ones(2, dtype=torch.float32)).dtype == torch.float64


def test_compiled_ahead_of_time_it_is_the_same(best, tmp_path, capsys, reads):
    """The compiler calls our operators; the network is in float32, its distances in float64.

    TorchScript has no part in it.
    """
    order = [str(best), "--compress", "--dtype", "float32", "--output", str(tmp_path)]
    with refused():
        assert export_main([*order, "--format", "aoti", "--name", "Compiled"]) == 0
    assert reads == ["engine"]
    assert "same as the network" in capsys.readouterr().out
    assert export_main([*order, "--name", "Scripted"]) == 0
    atoms = bulk("Si", "diamond", a=4.2, cubic=True)
    atoms.rattle(0.1, seed=1)
    one, two = (
        Potential(tmp_path / f"{name}__MO_000000000000_000").evaluate(atoms)
        for name in ("Compiled", "Scripted")
    )
    assert one.energy == pytest.approx(two.energy, rel=1e-6)
    np.testing.assert_allclose(one.forces, two.forces, rtol=0, atol=1e-5 * np.abs(two.forces).max())
