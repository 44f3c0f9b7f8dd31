"""`torchml uncertainty`: the posterior of the last layer, against dense linear algebra."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from ase.build import bulk
from ase.io import write

from torchml import Potential
from torchml.cli import main
from torchml.contract import metadata
from torchml.data import Configuration
from torchml.data.dataset import GraphDataset
from torchml.data.graph import GraphBuilder
from torchml.errors import ModelError
from torchml.export.prepare import prepare
from torchml.importers import checkpoint
from torchml.importers.opening import load
from torchml.models import ACE, Scaled, StillingerWeber
from torchml.training import posterior
from torchml.training.posterior import Data, Equations, equations, fit, with_members

pytestmark = pytest.mark.usefixtures("quick_probe")


def silicon(seed: int, rattle: float = 0.05):
    """Two atoms, the second of which may not move, with random labels."""
    generator = np.random.default_rng(seed)
    atoms = bulk("Si") * (2, 1, 1)
    atoms.positions += generator.normal(scale=rattle, size=(4, 3))
    labels = {"energy": -20.0 + generator.normal(), "forces": generator.normal(size=(4, 3))}
    return Configuration(
        atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, fixed=[0, 1, 0, 0], **labels
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    network = ACE(["Si"], 3.5, radial_functions=3, degrees=[2], channels=3, densities=1, hidden=4)
    scaled = Scaled(network)
    scaled.set_normalization({"Si": -5.0}, 0.6)
    graph = dataset([silicon(99)])[[0]]
    network.calibrate(
        graph.species, graph.edge_vectors, graph.edge_index, graph.node_counts, graph.edge_counts
    )
    return scaled.eval()


def dataset(configurations):
    return GraphDataset(configurations, GraphBuilder(["Si"], 3.5, 1))


def forces_of(energy, batch, vectors):
    (slopes,) = torch.autograd.grad(energy, vectors, retain_graph=True)
    source, target = batch.edge_index
    forces = torch.zeros(batch.n_atoms, 3, dtype=torch.float64)
    return forces.index_add(0, source, -slopes).index_add(0, target, slopes)


def test_rows_are_derivatives_by_the_last_weights(model, monkeypatch):
    """Against autograd, along the axes of free atoms in place of random directions."""
    configuration = silicon(0)
    axes = torch.eye(12, dtype=torch.float64).view(12, 4, 3)
    given = iter(axes)
    monkeypatch.setattr(posterior, "_DIRECTIONS", 12)
    monkeypatch.setattr(posterior.torch, "randn", lambda *_, **__: next(given).clone())
    found = equations(model, dataset([configuration]))
    batch = dataset([configuration])[[0]]
    vectors = batch.edge_vectors.requires_grad_()
    graph = (batch.species, vectors, batch.edge_index, batch.node_counts, batch.edge_counts)
    inputs = 0.6 * model.network.last_inputs(*graph).sum(0)
    energy = model(*graph).sum()
    jacobian = torch.stack([forces_of(one, batch, vectors).flatten() for one in inputs], 1)
    free = batch.free.repeat_interleave(3)
    torch.testing.assert_close(found.energies.inputs[0], inputs / 4)
    assert found.energies.error == pytest.approx(abs(float(batch.energy - energy.detach())) / 4)
    close = {"rtol": 0, "atol": 1e-5 * float(jacobian.abs().max())}
    torch.testing.assert_close(found.forces.inputs[free], jacobian[free], **close)
    assert not found.forces.inputs[~free].any() and not found.forces.errors[~free].any()
    errors = (batch.forces - forces_of(energy, batch, vectors)).flatten()
    torch.testing.assert_close(found.forces.errors[free], errors[free], **close)
    assert found.forces.components == 12 * 9


def random_equations(seed, n, scales, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, len(scales), generator=generator, dtype=torch.float64)
    errors = size * torch.randn(n, generator=generator, dtype=torch.float64)
    return Equations(inputs * torch.tensor(scales), errors, n)


# Energies depend on the first weights more, forces on the last.
ENERGIES, FORCES = [5.0, 4.0, 1.0, 0.5, 0.1], [0.1, 0.2, 1.0, 2.0, 3.0]


def test_the_posterior_is_that_of_dense_least_squares():
    """Its deviations are the errors of the validation data, of energies and of forces."""
    train = Data(random_equations(0, 40, ENERGIES, 0.01), random_equations(1, 60, FORCES))
    val = Data(
        replace(random_equations(2, 31, ENERGIES, 0.02), few=True),
        random_equations(3, 30, FORCES, 0.1),
    )
    found = fit(train, val).covariance
    assert val.forces.deviation(found) == pytest.approx(val.forces.error, rel=1e-6)
    ratios = val.energies.errors.square() / val.energies.variances(found)
    assert np.median(ratios) == pytest.approx(scipy.stats.chi2(1).median(), rel=1e-4)
    # The precision is a sum of what energies, forces and the prior give, each with its weight.
    grams = [(one.inputs.T @ one.inputs).numpy() for one in (train.energies, train.forces)]
    parts = np.stack([*(gram.ravel() for gram in grams), np.eye(5).ravel()], 1)
    precision = np.linalg.inv(found.numpy()).ravel()
    weights, *_ = np.linalg.lstsq(parts, precision, rcond=None)
    assert (weights > 0).all()
    of_data = (parts[:, :2] @ weights[:2]).reshape(5, 5).diagonal()
    assert weights[2] == pytest.approx(1e-6 * of_data.mean(), rel=1e-3)
    np.testing.assert_allclose(parts @ weights, precision, rtol=0, atol=1e-9 * precision.max())
    # Of energies alone.
    alone = fit(Data(train.energies, None), Data(val.energies, None)).covariance
    inverse = np.linalg.inv(grams[0] + 1e-6 * np.diag(grams[0]).mean() * np.eye(5))
    np.testing.assert_allclose(alone, inverse * (alone[0, 0] / inverse[0, 0]).item(), rtol=1e-9)
    # One energy that is far off decides nothing.
    errors = val.energies.errors.clone()
    errors[errors.abs().argmax()] *= 100
    other = replace(val.energies, errors=errors)
    assert other.scale(alone) == val.energies.scale(alone) == pytest.approx(1.0)


def test_draws_have_the_covariance_and_the_mean(model):
    inputs = random_equations(5, 50, [1.0, 2.0] * (posterior_size(model) // 2)).inputs
    covariance = torch.linalg.inv(inputs.T @ inputs)
    draws = with_members(model, covariance, 4000).network.draws
    assert draws.mean(1).abs().max() < 1e-14
    found = torch.cov(draws)
    scale = covariance.diagonal().sqrt()
    assert ((found - covariance) / scale / scale[:, None]).abs().max() < 0.1


def posterior_size(model):
    return sum(weight.numel() for weight in model.network.last_weights())


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A checkpoint, and data of atoms near their places."""
    folder = tmp_path_factory.mktemp("uncertainty")
    checkpoint.save_model(model, folder / "best.ckpt", "s2ef")
    write(folder / "train.extxyz", [silicon(k).to_atoms() for k in range(12)])
    return folder


def words_of(files, *words):
    data = ["--data.train", str(files / "train.extxyz"), "--data.split", "{train: 9, val: 3}"]
    folder = ["--ckpt_path", str(files / "best.ckpt"), "--trainer.default_root_dir", "run"]
    return ["uncertainty", *data, *folder, *words]


def test_the_command_writes_a_potential_that_is_exported(files, model, scratch, capsys):
    """Members differ more where the data are not."""
    assert main(words_of(files, "--members", "6")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "8 weights of the last layer, from 9 energies and 72 components" in lines[0]
    error, deviation = (float(part.split()[1]) for part in lines[2].split(": ")[1].split(", "))
    assert deviation == pytest.approx(error, rel=1e-3)
    path = Path("run/checkpoints/members.ckpt")
    assert str(path) in lines[3]
    loaded = load(path)
    prepared = prepare(loaded)
    metadata.save(prepared.module, scratch / "members.pt", prepared.facts)
    assert loaded.name == "ACE_Si" and prepared.facts.members == 6
    potential = Potential(scratch / "members.pt")
    near, far = (
        potential.evaluate(silicon(7, rattle).to_atoms(), members=True) for rattle in (0.05, 0.4)
    )
    assert near.members.forces.shape == (6, 4, 3)
    assert near.energy == pytest.approx(
        Potential(files / "best.ckpt").evaluate(silicon(7).to_atoms()).energy, rel=1e-12
    )
    assert far.members.force_deviations.mean() > 3 * near.members.force_deviations.mean()
    # It is the end of a line: its members belong to its weights.
    assert main(words_of(files, "--ckpt_path", str(path))) == 1
    assert "Posterior has no last, linear layer" in capsys.readouterr().err
    with pytest.raises(ModelError, match="drawn around the weights as they are"):
        checkpoint.load_start(path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--members", "1"], "--members is '1', expected at least 2"),
        (["--data.train", "none.extxyz"], "none.extxyz"),
        (["--ckpt_path", "none.ckpt"], "none.ckpt: no such file"),
        (["--data.split", "{train: 9, val: 0}"], "expected data.val, or data.split"),
    ],
)
def test_bad_words_are_one_sentence(files, scratch, words, sentence, capsys):
    assert main(words_of(files, *words)) == 1
    error = capsys.readouterr().err
    assert error.startswith("torchml uncertainty: error: ") and sentence in error
    assert error.count("\n") == 1


def test_a_network_without_a_last_layer_is_refused(files, scratch, capsys):
    path = files / "sw.ckpt"
    checkpoint.save_model(Scaled(StillingerWeber()), path, "s2ef")
    assert main(words_of(files, "--ckpt_path", str(path))) == 1
    assert "StillingerWeber has no last, linear layer" in capsys.readouterr().err
