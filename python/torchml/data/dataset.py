"""Configurations as batches of graphs, built once or on demand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from torchml.data.batch import GraphBatch, Kinds, Sample, SlabStress, collate, make_sample
from torchml.data.checks import check_label
from torchml.data.configuration import Configuration
from torchml.data.graph import GraphBuilder
from torchml.data.progress import track
from torchml.data.sequences import Joined


class GraphDataset(Dataset[GraphBatch]):
    """A dataset whose index is a list of configurations and whose item is their batch.

    Negative indices -1 - k pad the batch with configuration k. The graphs of a list are built at
    once. Sequences that read files on demand (LMDB, databases) may be larger than the memory:
    their graphs are built on demand too.

    Args:
        configurations: a list or another sequence.
        builder: builds the graphs of one model.
        targets: further labels to put into the batches.
        labels: those of energy, forces and stress that each configuration must have.
        stress_of_slabs: what the stress of slabs without a volume means (see `make_sample`).
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        builder: GraphBuilder,
        targets: Sequence[str] | Kinds = (),
        labels: Sequence[str] = (),
        stress_of_slabs: SlabStress = "ignore",
    ) -> None:
        self.configurations = configurations
        self.builder = builder
        self.labels = tuple(labels)
        self.targets = _copied(targets)
        self.stress_of_slabs: SlabStress = stress_of_slabs
        self.samples: list[Sample] | None = None
        if isinstance(configurations, list):
            self.samples = [
                self._sample(k, configuration)
                for k, configuration in enumerate(
                    track(configurations, "building graphs", len(configurations))
                )
            ]

    def fits(
        self,
        builder: GraphBuilder,
        targets: Sequence[str] | Kinds = (),
        labels: Sequence[str] = (),
        stress_of_slabs: SlabStress = "ignore",
    ) -> bool:
        """Return whether these arguments lead to the same graphs and labels."""
        return (self.builder, self.targets, self.labels, self.stress_of_slabs) == (
            builder,
            _copied(targets),
            tuple(labels),
            stress_of_slabs,
        )

    def append(self, configurations: list[Configuration]) -> None:
        """Add configurations at the end."""
        if self.samples is not None:
            begin = len(self.configurations)
            self.samples += [self._sample(begin + k, one) for k, one in enumerate(configurations)]
            self.configurations = [*self.configurations, *configurations]
        else:
            self.configurations = Joined([self.configurations, configurations])

    def __len__(self) -> int:
        return len(self.configurations)

    def __getitem__(self, indices: list[int]) -> GraphBatch:
        padding = sum(k < 0 for k in indices)
        samples = [self.sample(k if k >= 0 else -1 - k) for k in indices]
        return collate(samples, padding)

    def sample(self, index: int) -> Sample:
        """Return one configuration, ready to be batched."""
        if self.samples is not None:
            return self.samples[index]
        return self._sample(index, self.configurations[index])

    def sizes(self, unit: str) -> NDArray[np.float64]:
        """Return the amount of work of each configuration, float[n].

        Args:
            unit: atoms, edges or configurations; for configurations the edges are counted if the
                graphs exist, since they are the work, else each counts 1.
        """
        if unit == "configurations" and self.samples is None:
            return np.ones(len(self))
        known = getattr(self.configurations, "known_sizes", None)
        if unit == "atoms" and self.samples is None and known is not None:
            return np.asarray(known, dtype=np.float64)
        samples: Iterable[Sample] = (
            self.samples if self.samples is not None else map(self.sample, self._indices(unit))
        )
        atoms = unit == "atoms"
        return np.array(
            [
                float(s.graph.n_atoms if atoms else s.graph.edge_index.size(1) + s.graph.n_atoms)
                for s in samples
            ]
        )

    def _sample(self, index: int, configuration: Configuration) -> Sample:
        for name in self.labels:
            check_label(configuration, name)
        return make_sample(
            configuration,
            self.builder(configuration),
            index,
            self.targets,
            self.stress_of_slabs,
        )

    def _indices(self, unit: str) -> Iterable[int]:
        return track(range(len(self)), f"counting {unit}", len(self))


def _copied(targets: Sequence[str] | Kinds) -> dict[str, tuple[str, int]] | tuple[str, ...]:
    return dict(targets) if isinstance(targets, Mapping) else tuple(targets)


class PreBatched(Dataset[GraphBatch]):
    """Batches that are collated once, and kept in memory or in a temporary folder.

    The folder is deleted with the object.
    """

    def __init__(
        self, dataset: GraphDataset, batches: Sequence[list[int]], folder: Path | None = None
    ) -> None:
        self._scratch: Any = None
        self._batches: dict[tuple[int, ...], Any] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._scratch = tempfile.TemporaryDirectory(dir=folder, prefix="batches-")
        for number, indices in enumerate(track(batches, "building batches", len(batches))):
            batch: Any = dataset[indices]
            if self._scratch is not None:
                path = Path(self._scratch.name) / f"{number}.pt"
                torch.save(batch.to_fields(), path)
                batch = path
            self._batches[tuple(indices)] = batch

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, indices: list[int]) -> GraphBatch:
        batch = self._batches[tuple(indices)]
        if isinstance(batch, Path):
            return GraphBatch(**torch.load(batch, weights_only=True))
        assert isinstance(batch, GraphBatch)
        return batch
