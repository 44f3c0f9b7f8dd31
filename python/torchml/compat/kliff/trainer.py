"""KLIFF's GNNLightningTrainer: trains a graph network as a manifest describes.

    from torchml.compat.kliff import GNNLightningTrainer

    trainer = GNNLightningTrainer(manifest, model=network)
    trainer.train()
    trainer.save_kim_model()

The manifest is a dictionary or a YAML file with KLIFF's keys; `translate` converts it to the
configuration of `torchml fit`. The network is one of KLIFF's kind,

    forward(species or z, coords, edge_index0, ..., edge_index{n-1}, contributions),

which is trained and exported unchanged, or an EdgeModel of this package. A manifest may also name
the class of an EdgeModel by model.class_path and model.init_args. With the configuration transform
Descriptor the network is always torchml.models.DescriptorPotential.

A run writes its files to <workspace>/<model>_<time>: the manifest, config.yaml, train_indices.txt
and val_indices.txt, checkpoints, logs and plots, and .finished at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from torchml import kim
from torchml.compat.kliff.manifest import Manifest, load, parse
from torchml.compat.kliff.translation import configuration_of, translate
from torchml.data import read, write_lmdb
from torchml.data.keys import Keys
from torchml.data.splits import Split
from torchml.errors import TorchMLError
from torchml.export import Export, export
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel
from torchml.training import unsaved_network
from torchml.validation.installing import environment

if TYPE_CHECKING:
    from torchml.training import Run

__all__ = ["GNNLightningTrainer", "translate"]

FINISHED = ".finished"
DEFAULT_EXPORT_FOLDER = "kim-model"
# Folder of the run, for the ranks that Lightning starts by running the same script again.
RUN_FOLDER = "TORCHML_KLIFF_RUN_FOLDER"


class GNNLightningTrainer:
    """Train a graph network as a manifest describes, and save it as a KIM portable model.

    Args:
        manifest: KLIFF's manifest, or the YAML file that contains it.
        model: the network, if the manifest does not name one. This object is trained, not a copy.

    Raises:
        TorchMLError: a key is unknown or has no equivalent, or the model does not fit.

    Attributes:
        configuration: argument of `torchml.training.fit`, without the network if that is an
            object.
        run_folder: folder of the files of the run.
        run: the finished training, after `train`.
    """

    def __init__(
        self, manifest: Mapping[str, Any] | str | Path, model: torch.nn.Module | None = None
    ) -> None:
        content = load(manifest)
        self.manifest = parse(content)
        self.model = model
        self.configuration = configuration_of(self.manifest, model)
        self.driver = _driver(self.manifest)
        if self.manifest.export.model_name is not None:
            kim.model_name(self.manifest.export.model_name)
        network = self.configuration["model"]["init_args"]["model"]
        self._network: EdgeModel | StagedModel | None = None
        if not isinstance(network, dict):
            del self.configuration["model"]["init_args"]["model"]
            self._network = network
        if isinstance(network, StagedModel):
            import_module("torchml.importers.checkpoint").script_network(network)
        self.run_folder, self.resumed = _run_folder(self.manifest)
        self.configuration["trainer"]["default_root_dir"] = str(self.run_folder)
        self.run: Run | None = None
        self._content = content

    @classmethod
    def from_file(
        cls, filename: str | Path, model: torch.nn.Module | None = None
    ) -> GNNLightningTrainer:
        """Make a trainer from a manifest in YAML."""
        return cls(filename, model)

    def train(self) -> None:
        """Train, or resume an interrupted run; a finished run is not changed."""
        from torchml.training import fit

        if (self.run_folder / FINISHED).exists():
            print(f"{self.run_folder} is finished already: there is nothing to resume")
            return
        self._prepare()
        last = self.run_folder / "checkpoints" / "last.ckpt"
        resume = {"ckpt_path": "last"} if self.resumed and last.exists() else {}
        with environment(**{RUN_FOLDER: str(self.run_folder)}):
            self.run = fit(self.configuration, model=self._network, **resume)
        (self.run_folder / FINISHED).touch()

    def save_kim_model(self, path: str | Path = DEFAULT_EXPORT_FOLDER) -> Path:
        """Write the best model as a KIM portable model.

        Args:
            path: parent folder of the model, unless the manifest has export.model_path.

        Returns:
            The folder of the portable model.

        Raises:
            TorchMLError: there is no checkpoint, or a check of the export failed.
        """
        best = self.run_folder / "checkpoints" / "best.ckpt"
        if not best.is_file():
            raise TorchMLError(f"{best}: no such file, expected a checkpoint: call train() first")
        wanted = self.manifest.export
        name = wanted.model_name or re.sub(r"\W+", "_", self.run_folder.name)
        folder = Path(wanted.model_path or path)
        if RUN_FOLDER in os.environ:
            return folder / kim.model_name(name)  # the main rank does it
        result = export(
            Export(model=best, name=name, output=folder, driver=self.driver, overwrite=True)
        )
        if result.folder is None:
            failed = next(check for check in result.checks if check.verdict == "fail")
            raise TorchMLError(f"{name} was not written: {failed.name}: {failed.detail}")
        if wanted.generate_tarball:
            _write_tarball(result.folder)
        return result.folder

    def _prepare(self) -> None:
        """Write the manifest, the indices of random splits, and on request the data."""
        if RUN_FOLDER in os.environ:
            return  # the main rank does it
        self.run_folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self.manifest), sort_keys=True)
        name = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        yaml = import_module("yaml")
        (self.run_folder / f"{name}.yaml").write_text(yaml.safe_dump(self._content))
        data, dataset = self.configuration["data"], self.manifest.dataset
        found = read(data["train"], Keys(**data.get("keys", {})))
        if "split" in data:
            for part, indices in Split(**data["split"]).indices(len(found)).items():
                if len(indices):
                    np.savetxt(self.run_folder / f"{part}_indices.txt", indices, fmt="%d")
        if dataset.save:
            folder = Path(dataset.save_path or Path(self.manifest.workspace.name) / "datasets")
            folder.mkdir(parents=True, exist_ok=True)
            write_lmdb(found, folder / "dataset.lmdb")


def given_edge_model(number: int) -> EdgeModel:
    """Stand in a config.yaml of version 0.1.0 for a network of the program that trained it."""
    return cast(EdgeModel, unsaved_network())


def given_network(number: int) -> StagedModel:
    """Stand in a config.yaml of version 0.1.0 for a network of the program that trained it."""
    return unsaved_network()


def _run_folder(manifest: Manifest) -> tuple[Path, bool]:
    """Return the folder of the run, and whether the run is resumed."""
    if given := os.environ.get(RUN_FOLDER):
        return Path(given), False
    workspace, name = Path(manifest.workspace.name), manifest.model.name or "model"
    if manifest.workspace.resume:
        begun = sorted(path for path in workspace.glob(f"{name}_*") if path.is_dir())
        if begun:
            return begun[-1], True
    folder = workspace / f"{name}_{time.strftime('%Y-%m-%d-%H-%M-%S')}"
    number = 1
    while folder.exists():  # a run that started in the same second
        number += 1
        folder = folder.with_name(f"{folder.name.split('_run')[0]}_run{number}")
    return folder, False


def _driver(manifest: Manifest) -> str:
    """Return the KIM ID of the driver, with the version in the manifest."""
    version = manifest.export.driver_version
    if version is None:
        return kim.DRIVER
    digits = f"{version:03d}" if isinstance(version, int) else version
    if not (digits.isdigit() and len(digits) == 3):
        raise TorchMLError(f"export.driver_version is {version!r}, expected three digits ('000')")
    return f"{kim.DRIVER.rpartition('_')[0]}_{digits}"


def _write_tarball(folder: Path) -> None:
    """Write the folder as folder.tar.gz beside it."""
    path = folder.with_name(f"{folder.name}.tar.gz")
    temporary = path.with_name(f".{path.name}")
    with tarfile.open(temporary, "w:gz") as archive:
        archive.add(folder, folder.name)
    temporary.replace(path)
