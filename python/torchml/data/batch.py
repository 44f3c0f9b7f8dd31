"""Several configurations as one graph, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from torchml.data.configuration import Configuration
from torchml.data.graph import Graph
from torchml.errors import DataError


@dataclass(eq=False)
class GraphBatch:
    """G configurations with A atoms, M nodes and E edges.

    Labels are float64; a missing one is NaN. The nodes are sorted by shell, then by configuration:
    the first A nodes are the atoms.

    species                 i64[M]
    edge_vectors            float[E, 3], source minus target, Å
    edge_index              i64[2, E], row 0 source, row 1 target
    node_counts             nodes in the shells 0..k; layers + 1 entries
    edge_counts             edges into the shells 0..k; layers entries
    atom_of_node            i64[M], the atom of which the node is an image
    configuration_of_atom   i64[A]
    atom_counts             i64[G]
    volumes                 f64[G], Å³, what stress is per; NaN where there is none. With
                            stress_of_slabs: per_area, Å² and Å where the cell has no volume
    energy                  f64[G], eV
    forces                  f64[A, 3], eV/Å
    stress                  f64[G, 6], eV/Å³, xx yy zz yz xz xy
    energy_weight, forces_weight, stress_weight     f64[G]
    free                    bool[A], atoms that may move
    tags                    i64[A], kinds of atoms (OCP: 0 bulk, 1 surface, 2 adsorbate); 0 if none
    real                    bool[G], False for padding
    index                   i64[G], positions in the data set
    targets                 further labels by name: per configuration [G, k], per atom [A, k] or
                            per edge into an atom [edge_counts[0], k]
    coordinates, stages     inputs of models of the convention `graph` (see `Graph`); there the
                            nodes are sorted by configuration alone
    contributing            i64[M], 2 g for the atoms and 2 g + 1 for the ghosts of configuration g
    """

    species: Tensor
    edge_vectors: Tensor
    edge_index: Tensor
    node_counts: list[int]
    edge_counts: list[int]
    atom_of_node: Tensor
    configuration_of_atom: Tensor
    atom_counts: Tensor
    volumes: Tensor
    energy: Tensor
    forces: Tensor
    stress: Tensor
    energy_weight: Tensor
    forces_weight: Tensor
    stress_weight: Tensor
    free: Tensor
    tags: Tensor
    real: Tensor
    index: Tensor
    targets: dict[str, Tensor] = field(default_factory=dict)
    coordinates: Tensor | None = None
    stages: list[Tensor] = field(default_factory=list)
    contributing: Tensor | None = None

    def __len__(self) -> int:
        return len(self.atom_counts)

    @property
    def n_atoms(self) -> int:
        return self.node_counts[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GraphBatch:
        """Return the batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> GraphBatch:
        """Return the batch in page-locked memory, from which a GPU copies faster."""
        return self._map(lambda tensor: tensor.pin_memory())

    def clone(self) -> GraphBatch:
        """Return a copy that shares no memory."""
        return self._map(lambda tensor: tensor.clone())

    def to_fields(self) -> dict[str, Any]:
        """Return tensors and plain values by name, for `torch.load(weights_only=True)`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _map(self, change: Callable[[Tensor], Tensor]) -> GraphBatch:
        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            if isinstance(value, dict):
                return {key: changed(entry) for key, entry in value.items()}
            if isinstance(value, list):
                return [changed(entry) for entry in value]
            return value

        values = {field.name: changed(getattr(self, field.name)) for field in fields(self)}
        return replace(self, **values)


# What the stress of slabs and wires without a volume means: see `make_sample`.
SlabStress = Literal["error", "per_area", "ignore"]

# Kind (graph_scalar, node_vector, ...) and number of components of targets by name.
Kinds = Mapping[str, tuple[str, int]]


@dataclass(frozen=True, eq=False)
class Sample:
    """A configuration ready to be batched: its graph, and its labels as tensors of one row."""

    graph: Graph
    labels: dict[str, Tensor]
    targets: dict[str, Tensor]


def make_sample(
    configuration: Configuration,
    graph: Graph,
    index: int,
    targets: Sequence[str] | Kinds = (),
    stress_of_slabs: SlabStress = "ignore",
) -> Sample:
    """Return the graph with the labels of its configuration.

    Args:
        configuration: has the labels.
        graph: of that configuration.
        index: position in the data set.
        targets: names of further labels; with their kinds, the shapes are checked.
        stress_of_slabs: for slabs and wires whose cell has no volume: error refuses stress labels,
            per_area takes them as dE/d(strain) per area (eV/Å²) or per length (eV/Å), ignore
            leaves them out.

    Raises:
        DataError: a further label is missing or has another shape, or a slab has a stress.
    """
    n = graph.n_atoms
    weights = configuration.weights
    volume = _stress_volume(configuration, stress_of_slabs)
    fixed = configuration.fixed
    labels = {
        "volumes": _row(np.nan if volume is None else volume),
        "energy": _row(np.nan if configuration.energy is None else configuration.energy),
        "forces": _rows(configuration.forces, (n, 3)),
        "stress": _rows(None if volume is None else configuration.stress, (6,)).unsqueeze(0),
        "energy_weight": _row(weights.energy),
        "forces_weight": _row(weights.forces),
        "stress_weight": _row(weights.stress),
        "free": torch.ones(n, dtype=torch.bool)
        if fixed is None
        else torch.from_numpy(~np.asarray(fixed, dtype=bool)),
        "tags": torch.zeros(n, dtype=torch.int64)
        if configuration.tags is None
        else torch.from_numpy(configuration.tags),
        "index": torch.tensor([index]),
    }
    if isinstance(targets, Mapping):
        for name, (kind, width) in targets.items():
            _check_shape(configuration, name, kind, width)
        values = {n: _target(configuration, graph, n, kind) for n, (kind, _) in targets.items()}
    else:
        values = {name: _target(configuration, graph, name) for name in targets}
    return Sample(graph, labels, values)


def _stress_volume(configuration: Configuration, rule: SlabStress) -> float | None:
    """What the stress of a configuration is per; None where stress does not apply."""
    if configuration.has_volume or (rule == "per_area" and configuration.pbc.any()):
        return configuration.extent
    if rule == "error" and configuration.pbc.any() and configuration.stress is not None:
        count = int(configuration.pbc.sum())
        raise DataError(
            f"{configuration.name} has a stress although its cell {configuration.cell.tolist()} "
            f"has no volume: data.stress_of_slabs: per_area reads it as dE/d(strain) per "
            f"{'area (eV/Å²)' if count == 2 else 'length (eV/Å)'}, ignore leaves it out"
        )
    return None


def collate(samples: Sequence[Sample], padding: int = 0) -> GraphBatch:
    """Make one batch of many samples; the last `padding` ones do not count."""
    graphs = [sample.graph for sample in samples]
    parts = _by_shell(graphs) if not graphs[0].stages else _by_configuration(graphs)
    atoms = torch.tensor([graph.n_atoms for graph in graphs])
    real = torch.ones(len(graphs), dtype=torch.bool)
    real[len(graphs) - padding :] = False
    labels: dict[str, Any] = {
        name: torch.cat([sample.labels[name] for sample in samples]) for name in samples[0].labels
    }
    for name in ("energy_weight", "forces_weight", "stress_weight"):
        labels[name] = labels[name] * real
    return GraphBatch(
        **parts,
        configuration_of_atom=torch.arange(len(graphs)).repeat_interleave(atoms),
        atom_counts=atoms,
        real=real,
        targets={
            name: torch.cat([sample.targets[name] for sample in samples])
            for name in samples[0].targets
        },
        **labels,
    )


def _by_shell(graphs: Sequence[Graph]) -> dict[str, Any]:
    """Nodes and edges of all graphs, those of the inner shells first.

    Layer l of a network works on a prefix of nodes and edges, which must be one for all graphs.
    """
    node_slices = _slices([graph.node_counts for graph in graphs])
    edge_slices = _slices([graph.edge_counts for graph in graphs])
    # Where each node of a graph goes: a new number for every old one.
    places = [torch.empty(len(graph.species), dtype=torch.int64) for graph in graphs]
    offset = 0
    for g, rows in node_slices:
        count = rows.stop - rows.start
        places[g][rows] = torch.arange(offset, offset + count)
        offset += count
    first_atom = np.cumsum([0] + [graph.n_atoms for graph in graphs])
    edges = [
        place.index_select(0, graph.edge_index.flatten()).view(2, -1)
        for place, graph in zip(places, graphs, strict=True)
    ]
    return {
        "species": torch.cat([graphs[g].species[rows] for g, rows in node_slices]),
        "atom_of_node": torch.cat(
            [graphs[g].atom_of_node[rows] + int(first_atom[g]) for g, rows in node_slices]
        ),
        "edge_vectors": torch.cat(
            [graphs[g].edge_vectors[rows] for g, rows in edge_slices] or [graphs[0].edge_vectors]
        ),
        "edge_index": torch.cat(
            [edges[g][:, rows] for g, rows in edge_slices] or [edges[0]], dim=1
        ),
        "node_counts": _totals([graph.node_counts for graph in graphs]),
        "edge_counts": _totals([graph.edge_counts for graph in graphs]),
    }


def _by_configuration(graphs: Sequence[Graph]) -> dict[str, Any]:
    """Graphs one after the other, as models of the convention `graph` expect them."""
    nodes = np.cumsum([0] + [len(graph.species) for graph in graphs])
    atoms = np.cumsum([0] + [graph.n_atoms for graph in graphs])
    contributing = []
    for g, graph in enumerate(graphs):
        flags = torch.full_like(graph.species, 2 * g + 1)
        flags[: graph.n_atoms] = 2 * g
        contributing.append(flags)

    def joined(index: Sequence[Tensor]) -> Tensor:
        return torch.cat(
            [edges + int(start) for edges, start in zip(index, nodes, strict=False)], 1
        )

    return {
        "species": torch.cat([graph.species for graph in graphs]),
        "atom_of_node": torch.cat(
            [graph.atom_of_node + int(start) for graph, start in zip(graphs, atoms, strict=False)]
        ),
        "edge_vectors": torch.cat([graph.edge_vectors for graph in graphs]),
        "edge_index": joined([graph.edge_index for graph in graphs]),
        "node_counts": _totals([graph.node_counts for graph in graphs]),
        "edge_counts": _totals([graph.edge_counts for graph in graphs]),
        "coordinates": torch.cat(
            [graph.coordinates for graph in graphs if graph.coordinates is not None]
        ),
        "stages": [
            joined([graph.stages[k] for graph in graphs]) for k in range(len(graphs[0].stages))
        ],
        "contributing": torch.cat(contributing),
    }


def _slices(counts: Sequence[list[int]]) -> list[tuple[int, slice]]:
    """(graph, rows) of every shell that is not empty, shell after shell."""
    slices = []
    for shell in range(len(counts[0])):
        for g, ends in enumerate(counts):
            start = ends[shell - 1] if shell else 0
            if ends[shell] > start:
                slices.append((g, slice(start, ends[shell])))
    return slices


def _totals(counts: Sequence[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]


def _row(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _rows(values: Any, shape: tuple[int, ...]) -> Tensor:
    if values is None:
        return torch.full(shape, np.nan, dtype=torch.float64)
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def _check_shape(configuration: Configuration, name: str, kind: str, width: int) -> None:
    if name not in configuration.targets:
        return
    n, shape = len(configuration), configuration.targets[name].shape
    start = {"graph": (), "node": (n,), "edge": (n, n)}[kind.partition("_")[0]]
    fitting = [(*start, width)] + ([start] if width == 1 else [])
    if shape not in fitting:
        raise DataError(
            f"{configuration.name}: the target '{name}' has the shape {list(shape)}, expected "
            f"{list(fitting[-1])} of a {kind}"
        )


def _target(configuration: Configuration, graph: Graph, name: str, kind: str = "") -> Tensor:
    """A further label as rows: of the configuration, of its atoms, or of its edges.

    Labels of pairs are given as [N, N] or [N, N, k] with the target atom first, NaN where a pair
    has none; each edge into an atom gets the label of its pair.
    """
    if name not in configuration.targets:
        raise DataError(
            f"{configuration.name}: there is no label '{name}', "
            f"only {' '.join(configuration.targets) or 'none'}"
        )
    values = np.asarray(configuration.targets[name], dtype=np.float64)
    n = graph.n_atoms
    if kind.startswith("graph"):
        return torch.from_numpy(values.reshape(1, -1))
    if values.ndim >= 2 and values.shape[:2] == (n, n) and not kind.startswith("node"):
        edges = graph.edge_index[:, : graph.edge_counts[0]]
        owners = graph.atom_of_node.numpy()[edges.numpy()]
        return torch.from_numpy(values[owners[1], owners[0]].reshape(owners.shape[1], -1))
    if values.ndim >= 1 and values.shape[0] == n:
        return torch.from_numpy(values.reshape(n, -1))
    return torch.from_numpy(values.reshape(1, -1))
