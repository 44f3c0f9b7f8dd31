"""Configurations as batches of graphs, built once or when they are asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from torchml.data.batch import GraphBatch, Kinds, Sample, collate, make_sample
from torchml.data.checks import check_label
from torchml.data.configuration import Configuration
from torchml.data.graph import GraphBuilder
from torchml.data.progress import track


class GraphDataset(Dataset[GraphBatch]):
    """Indexed by a list of configurations, it gives their batch; negative ones only fill it up.

    A list of configurations is turned into graphs at once. Sequences that read from files when
    asked (LMDB, databases) may be larger than the memory: their graphs are built when needed.

    `labels` are those that each configuration must have; `targets` are further ones to take along.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        builder: GraphBuilder,
        targets: Sequence[str] | Kinds = (),
        labels: Sequence[str] = (),
    ) -> None:
        self.configurations = configurations
        self.builder = builder
        self.labels = tuple(labels)
        self.targets = _copied(targets)
        self.samples: list[Sample] | None = None
        if isinstance(configurations, list):
            self.samples = [
                self._sample(k, one)
                for k, one in enumerate(
                    track(configurations, "building graphs", len(configurations))
                )
            ]

    def fits(
        self, builder: GraphBuilder, targets: Sequence[str] | Kinds = (), labels: Sequence[str] = ()
    ) -> bool:
        """Whether the same graphs and labels would be built from these arguments."""
        return (self.builder, self.targets, self.labels) == (
            builder,
            _copied(targets),
            tuple(labels),
        )

    def __len__(self) -> int:
        return len(self.configurations)

    def __getitem__(self, indices: list[int]) -> GraphBatch:
        padding = sum(one < 0 for one in indices)
        samples = [self.sample(one if one >= 0 else -1 - one) for one in indices]
        return collate(samples, padding)

    def sample(self, index: int) -> Sample:
        """One configuration, ready to be batched."""
        if self.samples is not None:
            return self.samples[index]
        return self._sample(index, self.configurations[index])

    def sizes(self, unit: str) -> NDArray[np.float64]:
        """Number of atoms or of edges of each configuration; of one where that is not known yet.

        `unit` is configurations, atoms or edges. To balance by configurations, the edges are taken
        if they are known, since they are the work.
        """
        if unit == "configurations" and self.samples is None:
            return np.ones(len(self))
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
        return make_sample(configuration, self.builder(configuration), index, self.targets)

    def _indices(self, unit: str) -> Iterable[int]:
        return track(range(len(self)), f"counting {unit}", len(self))


def _copied(targets: Sequence[str] | Kinds) -> dict[str, tuple[str, int]] | tuple[str, ...]:
    return dict(targets) if isinstance(targets, Mapping) else tuple(targets)


class PreBatched(Dataset[GraphBatch]):
    """Batches that were put together once, kept in memory or in a folder of their own.

    The folder disappears with the object.
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
