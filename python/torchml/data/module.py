"""The data of a training run: where it comes from, how it is split, and how it is batched."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchml.data.batch import GraphBatch, Kinds, SlabStress
from torchml.data.checks import (
    check_duplicates,
    describe_repeated_labels,
    repeated_labels,
    structure_codes,
)
from torchml.data.configuration import Configuration
from torchml.data.dataset import GraphDataset, PreBatched
from torchml.data.graph import GraphBuilder, Kind
from torchml.data.keys import Keys
from torchml.data.needs import DataNeeds
from torchml.data.notices import notify
from torchml.data.reading import Broken, read
from torchml.data.references import elements
from torchml.data.replay import Replay
from torchml.data.sampler import Batches, RepeatedBatches, ResumableLoader
from torchml.data.sequences import Selection
from torchml.data.splits import Split
from torchml.data.weights import apply_weights
from torchml.errors import DataError

Part = Literal["train", "val", "test", "predict"]
Stage = Literal["fit", "validate", "test", "predict"]

_PARTS: dict[str, tuple[Part, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}


class DataModule(L.LightningDataModule):
    """Batches of graphs of labelled structures, for the model that is trained.

    The model gives cutoff, species and number of layers; the task gives the labels it needs.

    Args:
        train: file, folder or wildcards, or a list of them: extxyz, formats of ASE, LMDB, HDF5,
            parquet, and folders of DFT runs (see `torchml.data.read`).
        val: the same for validation; without it, a part of `train` (see `split`).
        test: the same for tests; without it, a part of `train` if `split` defines one.
        predict: structures to predict; without it, those of `test`.
        keys: names and units of the labels in the files.
        format: format of the files, if their names do not show it.
        split: the parts of `train` for validation and test; by default a tenth of it validates if
            `val` is not given.
        weights: factors of the configurations of `train` in the loss: number, mapping or file.
        batch_size: configurations (or atoms, or edges) per batch and rank.
        batch_by: unit of `batch_size`; atoms or edges make batches of about equal size.
        num_workers: processes that prepare batches; "all" means one per available core.
        pre_batch: collate batches once, and keep them in memory or on disk; then only their order
            changes from epoch to epoch.
        graphs: minimum_image (fast) or staged (with ghosts, as in a simulator): equal energies.
        broken: files that are damaged, and DFT runs that ended early, are an error; skip leaves
            them out, keep reads the complete steps of such runs.
        stress_of_slabs: stress labels of slabs and wires whose cell has no volume are an error;
            per_area takes them as dE/d(strain) per area (eV/Å²), of wires per length (eV/Å), and
            predicts that too; ignore leaves them out.
        duplicates: whether equal structures within a part, or in train and another part, are an
            error.
        seed: random seed of the split and of the order of the batches.
        replay: old data that train too, where a training starts from a trained potential: their
            files, or a mapping.
    """

    def __init__(
        self,
        train: str | list[str] | None = None,
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        predict: str | list[str] | None = None,
        keys: Keys | None = None,
        format: str | None = None,
        split: Split | None = None,
        weights: float | dict[str, float] | str | None = None,
        batch_size: int = 8,
        batch_by: Literal["configurations", "atoms", "edges"] = "configurations",
        num_workers: int | Literal["all"] = 0,
        pre_batch: Literal["none", "in_memory", "on_disk"] | None = None,
        graphs: Kind = "minimum_image",
        broken: Broken = "error",
        stress_of_slabs: SlabStress = "error",
        duplicates: Literal["error", "allow"] = "error",
        seed: int = 0,
        replay: Replay | str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise DataError(f"data.batch_size is {batch_size}, expected at least 1")
        if num_workers != "all" and num_workers < 0:
            raise DataError(f'data.num_workers is {num_workers}, expected 0, 1, ... or "all"')
        self.sources: dict[str, Any] = {
            "train": train,
            "val": val,
            "test": test,
            "predict": predict,
        }
        self.keys = keys or Keys()
        self.format = format
        self.split = split
        self.weights = weights
        self.batch_size = batch_size
        self.batch_by = batch_by
        self.num_workers = (
            len(os.sched_getaffinity(0)) if num_workers == "all" else int(num_workers)
        )
        self.pre_batch = None if pre_batch == "none" else pre_batch
        self.graphs: Kind = graphs
        self.broken: Broken = broken
        self.stress_of_slabs: SlabStress = stress_of_slabs
        self.duplicates = duplicates
        self.seed = seed
        self.replay = Replay(replay) if isinstance(replay, str) else replay
        self._old: list[Configuration] | None = None
        self._with_replay: GraphDataset | None = None
        self._configurations: dict[str, Sequence[Configuration]] = {}
        self._datasets: dict[str, GraphDataset] = {}
        self._train_loader: ResumableLoader | None = None
        self._resume: dict[str, Any] = {}
        self._structures: dict[str, Tensor] | None = None
        self._reported: set[str] = set()

    @classmethod
    def from_configurations(
        cls,
        train: Sequence[Configuration] = (),
        val: Sequence[Configuration] = (),
        test: Sequence[Configuration] = (),
        predict: Sequence[Configuration] = (),
        **options: Any,
    ) -> DataModule:
        """Make a data module of configurations in memory; options are arguments of the class."""
        module = cls(**options)
        parts = {"train": train, "val": val, "test": test, "predict": predict}
        module.sources |= {part: source for part, source in parts.items() if len(source)}
        return module

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the class, as a configuration holds them; None for data in memory."""
        return {
            **{part: source if _is_path(source) else None for part, source in self.sources.items()},
            "keys": asdict(self.keys),
            "format": self.format,
            "split": None if self.split is None else asdict(self.split),
            "weights": self.weights,
            "batch_size": self.batch_size,
            "batch_by": self.batch_by,
            "num_workers": self.num_workers,
            "pre_batch": self.pre_batch,
            "graphs": self.graphs,
            "broken": self.broken,
            "stress_of_slabs": self.stress_of_slabs,
            "duplicates": self.duplicates,
            "seed": self.seed,
            "replay": None if self.replay is None else asdict(self.replay),
        }

    def configurations(self, part: Part) -> Sequence[Configuration]:
        """Return the configurations of a part; empty if there are none."""
        if part not in self._configurations:
            if part == "predict" and self.sources["predict"] is None:
                return self.configurations("test")
            if part == "train" or self.sources[part] is None:
                self._configurations |= self._split_train()
            else:
                self._configurations[part] = self._read(part)
        return self._configurations[part]

    def setup(self, stage: str) -> None:
        """Prepare the data for the module that Lightning trains; Lightning calls it."""
        assert self.trainer is not None
        module = self.trainer.lightning_module
        if not isinstance(module, DataNeeds):
            raise DataError(
                f"{type(module).__name__} has no labels, target_kinds and graph_builder, expected "
                "a task of torchml.training or a module with these (torchml.data.needs)"
            )
        self.prepare_for(module, stage)

    def prepare_for(self, needs: DataNeeds, stage: str) -> None:
        """Read, check and build the graphs for a stage.

        Args:
            needs: a task, or another object with labels, target kinds and a graph builder.
            stage: fit, validate, test or predict.

        Raises:
            TorchMLError: with the file and the configuration, if labels or elements do not fit.
        """
        if stage == "validate" and not len(self.configurations("val")):
            raise DataError("there are no configurations to validate: set data.val")
        builder = needs.graph_builder(self.graphs)
        learned = getattr(needs, "learned", needs.labels)
        self.prepare(builder, _PARTS[stage], needs.labels, needs.target_kinds, learned)

    def prepare(
        self,
        builder: GraphBuilder,
        parts: Sequence[Part],
        labels: Sequence[str] = (),
        targets: Sequence[str] | Kinds = (),
        learned: Sequence[str] | None = None,
    ) -> None:
        """Read, check and build the graphs of some parts; graphs that exist are kept.

        Args:
            builder: builds the graphs of one model.
            parts: train, val, test or predict.
            labels: those of energy, forces and stress that every configuration must have.
            targets: further labels to put into the batches.
            learned: those of energy, forces and stress that are used where they exist; `labels` if
                omitted.

        Raises:
            TorchMLError: with the file and the configuration, if labels or elements do not fit.
        """
        slabs = self.stress_of_slabs
        unused = "stress" not in (labels if learned is None else learned)
        needs = {
            part: (
                builder,
                *(((), ()) if part == "predict" else (targets, labels)),
                "ignore" if slabs == "error" and (unused or part == "predict") else slabs,
            )
            for part in parts
        }
        missing = [part for part in parts if not self._is_built(part, *needs[part])]
        for part in missing:
            if not len(self.configurations(part)) and part != "val":
                raise DataError(f"there are no configurations to {part}: set data.{part}")
        if missing and self.duplicates == "error":
            self._check_duplicates(parts)
        if missing:
            self._report_repeated_labels(parts)
        for part in missing:
            self._datasets[part] = GraphDataset(self.configurations(part), *needs[part])

    def add_replay(self, shifts: Mapping[str, float] | None, labels: Sequence[str]) -> None:
        """Let old data train too, once for each set of graphs.

        Args:
            shifts: energies to add for each of their atoms (eV), by symbol; None if the training
                does not start from a trained potential.
            labels: those of energy, forces and stress that each configuration must have.

        Raises:
            DataError: there is nothing that the data are old of, or a label is missing.
        """
        dataset = self._datasets["train"]
        if self.replay is None or dataset is self._with_replay:
            return
        if shifts is None:
            raise DataError(
                "data.replay is for a training that starts from a trained potential, expected "
                "model.init_from beside it, or these files in data.train"
            )
        dataset.append(self.replay.moved(self._old_configurations(), labels, shifts))
        self._with_replay = dataset

    def elements(self) -> list[str]:
        """Return the symbols of all elements that train or validate."""
        parts = (self.configurations("train"), self.configurations("val"))
        return elements(one for part in (*parts, self._old_configurations()) for one in part)

    def _old_configurations(self) -> list[Configuration]:
        """Those of `replay`; empty if there are none."""
        if self._old is None:
            self._old = [] if self.replay is None else self.replay.read()
        return self._old

    def _is_built(self, part: Part, *needs: Any) -> bool:
        """Whether the graphs of a part exist, and were built for the same needs."""
        dataset = self._datasets.get(part)
        return dataset is not None and dataset.fits(*needs)

    def dataset(self, part: Part) -> GraphDataset:
        """Return the graphs of a part that was prepared."""
        return self._datasets[part]

    def train_dataloader(self) -> ResumableLoader:
        repeated = self.trainer is not None and _repeats(self.trainer)
        self._train_loader = self._loader("train", shuffle=not repeated)
        if self.trainer is not None:
            limit = self.trainer.limit_train_batches
            count = len(self._train_loader)
            self._train_loader.limit = (
                min(limit, count) if isinstance(limit, int) else int(limit * count)
            )
        if self._resume:
            self._train_loader.load_state_dict(self._resume)
            self._resume = {}
        return self._train_loader

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch, and codes of the structures, for a checkpoint.

        Lightning saves and restores the state of loaders too, but not if the number of steps is
        needed before it restores, as by a schedule over all steps.
        """
        if self._train_loader is None:
            return {}
        return self._train_loader.state_dict() | {"structures": self.structures()}

    def structures(self) -> dict[str, Tensor]:
        """Return codes of the structures that train and validate, i64[n] by part.

        Sequences that are read on demand have none.
        """
        if self._structures is None:
            parts: tuple[Part, ...] = ("train", "val")
            known = {part: self.configurations(part) for part in parts}
            self._structures = {
                part: torch.from_numpy(structure_codes(configurations))
                for part, configurations in known.items()
                if isinstance(configurations, list | tuple)
            }
        return self._structures

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training loader start at that position."""
        self._resume = state_dict

    def val_dataloader(self) -> ResumableLoader | list[Any]:
        return self._loader("val") if len(self._datasets["val"]) else []

    def test_dataloader(self) -> ResumableLoader:
        return self._loader("test")

    def predict_dataloader(self) -> ResumableLoader:
        return self._loader("predict")

    def count_batches(self, part: Part, ranks: int = 1) -> int:
        """Return the number of batches of a rank in an epoch, for a part that was prepared."""
        sizes = self._datasets[part].sizes(self.batch_by)
        by_size = self.batch_by != "configurations"
        return len(Batches(sizes, self.batch_size, by_size=by_size, ranks=ranks))

    def _loader(self, part: Part, shuffle: bool = False) -> ResumableLoader:
        dataset = self._datasets[part]
        trainer = self.trainer
        kind = RepeatedBatches if trainer is not None and _repeats(trainer) else Batches
        batches = kind(
            dataset.sizes(self.batch_by),
            self.batch_size,
            by_size=self.batch_by != "configurations",
            shuffle=shuffle,
            fixed=self.pre_batch is not None,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            ranks=trainer.world_size if trainer else 1,
        )
        source: Dataset[GraphBatch] = dataset
        if self.pre_batch is not None:
            root = Path(trainer.default_root_dir) if trainer else Path()
            folder = root / "pre_batched" if self.pre_batch == "on_disk" else None
            source = PreBatched(dataset, batches.epoch_batches(0), folder)
        gpu = trainer is not None and trainer.strategy.root_device.type == "cuda"
        # The sampler yields whole batches, so the loader does no batching of its own.
        return ResumableLoader(
            source,
            sampler=batches,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=gpu,
        )

    def _check_duplicates(self, parts: Sequence[Part]) -> None:
        """Check within each part, and between the training data and the others.

        Sequences that are read on demand are not checked.
        """
        known = {part: self._configurations.get(part, ()) for part in ("train", *parts)}
        lists = {part: entries for part, entries in known.items() if isinstance(entries, list)}
        train = lists.pop("train", [])
        for others in lists.values() or [[]]:
            check_duplicates(train + others)

    def _report_repeated_labels(self, parts: Sequence[Part]) -> None:
        """Name structures with the labels of others, once; sequences on demand are not read."""
        known = [self._configurations.get(part, ()) for part in dict.fromkeys(("train", *parts))]
        several = [c for entries in known if isinstance(entries, list) for c in entries]
        sentence = describe_repeated_labels(pairs) if (pairs := repeated_labels(several)) else ""
        if sentence and sentence not in self._reported:
            notify(sentence)
            self._reported.add(sentence)

    def _read(self, part: str) -> Sequence[Configuration]:
        source = self.sources[part]
        if source is None:
            return []
        if _is_path(source):
            return read(source, self.keys, self.format, self.broken)
        return list(source)

    def _split_train(self) -> dict[str, Sequence[Configuration]]:
        configurations = self._read("train")
        if self.weights is not None and len(configurations):
            configurations = apply_weights(configurations, self.weights)
        cut = {part for part in ("val", "test") if self.sources[part] is None}
        if not len(configurations):
            return dict.fromkeys(("train", *cut), ())
        parts = self._split(len(configurations), cut).indices(len(configurations), cut)
        return {part: _pick(configurations, parts[part]) for part in ("train", *cut)}

    def _split(self, count: int, cut: set[str]) -> Split:
        """The split of the arguments; else a tenth of the configurations validates."""
        if self.split is not None:
            return self.split
        if "val" not in cut or count == 1:
            return Split()
        return Split(val=max(1, count // 10), seed=self.seed)


def _repeats(trainer: L.Trainer) -> bool:
    """Whether each epoch has the same few batches (trainer.overfit_batches)."""
    return bool(trainer.overfit_batches > 0)  # type: ignore[attr-defined]


def _is_path(source: Any) -> bool:
    """Whether a source is a path or a list of them, not configurations in memory."""
    return isinstance(source, str) or (bool(source) and isinstance(source[0], str))


def _pick(configurations: Sequence[Configuration], indices: Any) -> Sequence[Configuration]:
    if isinstance(configurations, list):
        return [configurations[k] for k in indices]
    return Selection(configurations, indices)
