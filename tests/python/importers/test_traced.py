"""Energies of another package's model, traced: the same numbers at any size, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import adapter_files
from torchml.contract.metadata import ModelMetadata
from torchml.errors import ModelError
from torchml.export.aoti.compilation import graphs_of_network
from torchml.export.aoti.samples import samples_of
from torchml.importers.foreign import radii
from torchml.importers.imported import imported
from torchml.importers.reading import user_file
from torchml.importers.reading.edges import edges_of
from torchml.importers.reading.handing_over import content_of
from torchml.importers.reading.source import ReadingError, Source, Wish
from torchml.importers.reading.structures import structures_of
from torchml.importers.traced import Traced
from torchml.models import describe, script

SIZES = [(7, 30), (2, 2), (3, 1), (4, 0), (1, 0)]


def source(energies: Callable[..., Tensor], layers: int = 2, dtype: str = "float64") -> Source:
    def with_counts(
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        return energies(species, edge_vectors, edge_index)

    return Source(["Si", "O"], 3.5, layers, (dtype,), None, energies=with_counts)


def handed_over(energies: Callable[..., Tensor], layers: int = 2) -> dict[str, Any]:
    return content_of(source(energies, layers), Wish("toy"), radii())


def inputs(nodes: int, edges: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(nodes)
    vectors = torch.randn(edges, 3, generator=generator, dtype=torch.float64)
    index = torch.randint(0, nodes, (2, edges), generator=generator)
    return torch.arange(nodes) % 2, vectors.requires_grad_(), index


def same(found: Tensor, expected: Tensor, vectors: Tensor) -> None:
    assert (found - expected).abs().max() < 1e-13
    if len(vectors):
        (one,) = torch.autograd.grad(found.sum(), vectors)
        (two,) = torch.autograd.grad(expected.sum(), vectors, retain_graph=True)
        assert (one - two).abs().max() < 1e-13
        assert two.abs().max() > 1e-4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    return adapter_files.network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def traced(network: torch.nn.Module) -> Traced:
    found = imported(handed_over(network), "toy")
    assert found.way == "graph" and not found.calculator
    assert found.parity.relative < 1e-13
    assert isinstance(found.model, Traced)
    return found.model


@pytest.mark.parametrize("nodes, edges", SIZES)
def test_a_graph_computes_the_same_at_any_size(nodes, edges, network, traced):
    species, vectors, index = inputs(nodes, edges)
    expected = network(species, vectors, index)
    same(traced(species, vectors, index, [], []), expected, vectors)
    scripted = script(traced, "edges")
    same(scripted(species, vectors, index, 0 * species, [], []), expected, vectors)


def test_a_graph_is_compiled_ahead_of_time(network, traced):
    """Up to the compiler: energy and derivative as one graph whose sizes are free."""
    facts = describe(traced, "edges")
    assert facts == ModelMetadata(
        convention="edges",
        species=("Si", "O"),
        cutoff=3.5,
        layers=2,
        dtype="float64",
        species_input="code",
        returns_forces=False,
        radial=False,
    )
    graphs = graphs_of_network(traced, facts, "toy")
    sample = samples_of(graphs.inputs, facts, 1, "cpu")
    species, vectors, index, flags = sample[:4]
    energies, gradient = graphs.derivative(*sample)
    leaf = vectors.clone().requires_grad_()
    expected = network(species, leaf, index)
    assert (energies - expected).abs().max() < 1e-12
    assert graphs.energy is not None
    assert torch.equal(graphs.energy(*sample)[0], energies)
    contributing = expected[flags == 0].sum()
    assert (gradient - torch.autograd.grad(contributing, leaf)[0]).abs().max() < 1e-12


def second_cutoff(network: torch.nn.Module) -> Callable[..., Tensor]:
    """Sizes that depend on values: a shorter cutoff inside a model."""

    def energies(species: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        near = torch.linalg.norm(vectors, dim=1) < 2.5
        return network(species, vectors[near], index[:, near])

    return energies


def branch(network: torch.nn.Module) -> Callable[..., Tensor]:
    """A branch that depends on values, which a trace as TorchScript follows."""

    def energies(species: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        if bool((species < 0).any()):
            raise ValueError("species are not negative")
        return network(species, vectors, index)

    return energies


@pytest.mark.parametrize("kind, way", [(second_cutoff, "graph"), (branch, "torchscript")])
def test_what_depends_on_values(kind, way, network):
    energies = kind(network)
    content = handed_over(energies)
    assert way in content
    model = imported(content, "toy").model
    for nodes, edges in SIZES:
        species, vectors, index = inputs(nodes, edges)
        expected = energies(species, vectors, index)
        same(model(species, vectors, index, [], []), expected, vectors)
        scripted = script(model, "edges")
        same(scripted(species, vectors, index, 0 * species, [], []), expected, vectors)


def test_a_size_that_has_become_a_constant_is_refused(network):
    def energies(species: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
        return network(species, vectors, index) / int(species.size(0))

    with pytest.raises(ReadingError, match=r"handed over neither .* graph: .* differ by"):
        handed_over(energies)


def test_energies_of_another_shape_are_refused(network):
    with pytest.raises(ReadingError, match=r"have the shape \[\], expected one of each of"):
        handed_over(lambda *arguments: network(*arguments).sum())


def test_single_precision_stays(tmp_path):
    """The operations of a graph name their float type."""
    model = adapter_files.network(tmp_path).float()
    content = content_of(source(model, dtype="float32"), Wish("toy"), radii())
    traced = imported(content, "toy").model.to(torch.float64)
    assert describe(traced, "edges").dtype == "float32"
    species, vectors, index = inputs(7, 30)
    expected = model(species, vectors.float(), index)
    found = traced(species, vectors, index, [], [])
    assert (found - expected).abs().max() < 1e-6
    with pytest.raises(ReadingError, match="runs in float32, but dtype is 'float64'"):
        content_of(source(model, dtype="float32"), Wish("toy", dtype="float64"), radii())


@pytest.mark.parametrize("quantity", ["energy", "forces", "stress", "energies"])
def test_other_results_than_the_packages_are_refused(quantity, network):
    content = handed_over(network)
    content["results"][0][quantity] = content["results"][0][quantity] * (1 + 1e-7) + 1e-7
    with pytest.raises(ModelError, match="'crystal' differ from those of its package by"):
        imported(content, "toy")


def test_a_calculator_in_float32_must_agree_with_the_modules_in_float64(network):
    content = handed_over(network)
    assert imported(content, "toy").rounding is None
    content["rounded"] = [
        {**one, "energy": one["energy"] * (1 + 1e-6)} for one in content["results"]
    ]
    rounding = imported(content, "toy").rounding
    assert rounding is not None and 0.0 < rounding.relative <= 1.1e-6
    content["rounded"][1]["forces"] = content["rounded"][1]["forces"] * (1 + 1e-4) + 1e-4
    with pytest.raises(ModelError, match=r"calculator for the 'slab' differ .* of float32"):
        imported(content, "toy")


def test_structures_have_sensible_distances():
    species = ["H", "O", "Si", "Cs"]
    for name, structure in structures_of(species, 5.0, radii()).items():
        vectors, index = edges_of(structure, 5.0)
        touching = torch.tensor([radii()[one] for one in structure.symbols])[index].sum(0)
        share = vectors.norm(dim=1) / touching
        assert 0.6 < share.min() < 1.3, name
    assert set(structures_of(species, 5.0, radii())["all species"].symbols) == set(species)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "has no function 'energies', expected def energies"),
        ("def energies(*a): ...", "'species' of .*:energies is missing, expected it in the file"),
        ("import not_there", r"my_adapter.py stops \(ModuleNotFoundError"),
    ],
)
def test_files_of_users_that_lack_something(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "my_adapter.py").write_text(text)
    with pytest.raises(ReadingError, match=sentence):
        user_file.open_model(f"{tmp_path / 'my_adapter.py'}:energies", Wish("model.pt"))


def test_some_of_the_species_of_a_file(network, tmp_path: Path) -> None:
    adapter_files.write(tmp_path)
    kind, name = f"{tmp_path / 'my_adapter.py'}:energies", str(tmp_path / "model.pt")
    own = user_file.open_model(kind, Wish(name, species=["O"]))
    assert own.species == ["O"] and own.dtypes == ("float64",) and own.layers == 2
    species, vectors, index = inputs(7, 30)
    assert own.energies is not None
    found = own.energies(0 * species, vectors, index, [], [])
    assert torch.equal(found, network(0 * species + 1, vectors, index))
    with pytest.raises(ReadingError, match="has no Cu, expected some of Si O"):
        user_file.open_model(kind, Wish(name, species=["Cu"]))


@pytest.mark.usefixtures("quick_probe")
def test_a_file_of_the_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ase.build import bulk

    from torchml import Potential
    from torchml.cli import export_main

    words = adapter_files.write(tmp_path)
    assert export_main([*words, "--output", str(tmp_path)]) == 0
    assert "against the original" in capsys.readouterr().out
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    found = Potential(tmp_path / "my_adapter_SiO__MO_000000000000_000").evaluate(atoms)
    vectors, index = edges_of(_structure(atoms), 3.5)
    model = adapter_files.network(tmp_path)
    expected = model(torch.zeros(8, dtype=torch.int64), vectors, index).sum()
    assert found.energy == pytest.approx(expected.item(), rel=1e-12)


def _structure(atoms: Any) -> Any:
    from torchml.importers.reading.source import Structure

    return Structure(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc)
