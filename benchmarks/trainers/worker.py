"""The trainings that benchmarks/training.py times, each in a new process: KLIFF and this package.

    python worker.py CASE FOLDER BATCH_SIZE EPOCHS

trains on the files of a folder and prints one JSON object: CPU time of each step (s), the memory
of the process after each epoch (MB), the edges of a step, and the loss of the last step.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from kliff_schnet import CUTOFF, FEATURES, GAUSSIANS, LAYERS, KliffSchNet

from torchml.data.module import DataModule
from torchml.data.splits import Split
from torchml.models import PaiNN, SchNet, TensorNet
from torchml.models.staged import StagedModel
from torchml.training import S2EF, Normalization

INPUTS = ["z", "coords", *[f"edge_index{k}" for k in range(LAYERS)], "contributions"]
FORCE_WEIGHT = 10.0
NETWORKS = {"tensornet": TensorNet, "painn": PaiNN}
NETWORK_CUTOFF = 5.0  # Å, that of a training without a network of its own


class Clock(L.Callback):
    """CPU time of this process from the beginning of a step to that of the next one."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.memory: list[float] = []
        self.loss = float("nan")

    def on_train_batch_end(self, trainer: Any, task: Any, outputs: Any, *arguments: Any) -> None:
        self.loss = float(outputs["loss"])

    def on_train_batch_start(self, *arguments: Any) -> None:
        self.starts.append(time.process_time())

    def on_train_epoch_end(self, *arguments: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    @property
    def steps(self) -> list[float]:
        """Return the time of each step, s; time between epochs belongs to the step before."""
        return [b - a for a, b in zip(self.starts, self.starts[1:], strict=False)]


def ours(case: str, folder: str, batch_size: int, epochs: int) -> tuple[Clock, int]:
    """Train with this package: a network with its defaults, or that of the comparison with KLIFF.

    A case `network:dtype` is a network in that float type.
    """
    torch.manual_seed(0)
    name, _, dtype = case.partition(":")
    model: Any = SchNet(
        ["Si"], cutoff=CUTOFF, layers=LAYERS, features=FEATURES, gaussians=GAUSSIANS
    )
    if name in NETWORKS:
        model = NETWORKS[name](["Si"], cutoff=NETWORK_CUTOFF, dtype=dtype)
    if case == "same":
        model = StagedModel(KliffSchNet(), ["Si"], CUTOFF, LAYERS)
    task = S2EF(
        model,
        energy_coefficient=1.0,
        force_coefficient=FORCE_WEIGHT,
        energy_loss=torch.nn.MSELoss(),
        force_loss=torch.nn.MSELoss(),
        normalization=Normalization(references="none", scale="none"),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        schedule="constant",
    )
    data = DataModule(
        train=folder,
        split=Split(),
        batch_size=batch_size,
        graphs="minimum_image" if case == "minimum_image" or name in NETWORKS else "staged",
    )
    clock = Clock()
    L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(task, data)
    some = data.dataset("train")
    edges = sum(some.sample(k).graph.edge_index.size(1) for k in range(min(batch_size, len(some))))
    return clock, edges


def kliff(folder: str, batch_size: int, epochs: int) -> tuple[Clock, int]:
    """KLIFF's GNNLightningTrainer."""
    # torch_geometric prefers `lightning.pytorch`, KLIFF imports `pytorch_lightning`.
    for name in ("", ".callbacks", ".loggers"):
        sys.modules[f"pytorch_lightning{name}"] = importlib.import_module(
            f"lightning.pytorch{name}"
        )
    from kliff.trainer.lightning_trainer import GNNLightningTrainer

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    manifest = {
        "workspace": {"name": "kliff", "seed": 1},
        "dataset": {"type": "path", "path": folder},
        "model": {"name": "SchNet", "input_args": INPUTS},
        "transforms": {
            "configuration": {
                "name": "RadialGraph",
                "kwargs": {"cutoff": CUTOFF, "species": ["Si"], "n_layers": LAYERS},
            }
        },
        "training": {
            "loss": {"function": "MSE", "weights": {"energy": 1.0, "forces": FORCE_WEIGHT}},
            "optimizer": {"name": "Adam", "learning_rate": 1e-3},
            "batch_size": batch_size,
            "epochs": epochs,
            "strategy": "auto",
            "accelerator": "cpu",
        },
    }
    trainer = GNNLightningTrainer(manifest, model=KliffSchNet())
    clock = Clock()
    trainer.pl_trainer.callbacks.append(clock)
    trainer.train()
    return clock, 0


def main() -> int:
    """Run one case; the result is the only line on the standard output."""
    case, folder, batch_size, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    folder = str(Path(folder).resolve())
    noise = io.StringIO()
    warnings.simplefilter("ignore")
    try:
        with (
            contextlib.redirect_stdout(noise),
            contextlib.redirect_stderr(noise),
            tempfile.TemporaryDirectory() as scratch,
            contextlib.chdir(scratch),
        ):
            arguments = (folder, batch_size, epochs)
            clock, edges = kliff(*arguments) if case == "kliff" else ours(case, *arguments)
    except Exception:
        traceback.print_exc()
        return 1
    result = {"steps": clock.steps, "memory": clock.memory, "edges": edges, "loss": clock.loss}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
