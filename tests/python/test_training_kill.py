"""A training that is killed goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import torch
from silicon import silicon

from torchml.data import write_extxyz

CONFIGURATION = """
model:
  class_path: S2EF
  init_args:
    warmup_steps: 5
    model:
      class_path: PaiNN
      init_args: {cutoff: 3.8, layers: 2, features: 8, dtype: float32}
data: {train: data.extxyz, batch_size: 1}
checkpoint: {last_every_n_steps: 3}
trainer: {max_epochs: 4, accelerator: cpu}
"""


def fit(folder, *more):
    words = ["fit", "--config", "some.yaml", "--trainer.default_root_dir", folder, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "torchml", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def steps(path):
    try:
        return torch.load(path, weights_only=True)["global_step"]
    except (OSError, RuntimeError):
        return 0


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def test_kill_9_in_the_middle_of_an_epoch(scratch):
    write_extxyz(silicon(24), scratch / "data.extxyz")
    (scratch / "some.yaml").write_text(CONFIGURATION)
    finish(fit("whole"))

    killed = fit("killed")
    last = scratch / "killed/checkpoints/last.ckpt"
    while steps(last) < 24:  # an epoch has 22 steps
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 22 < steps(last) < 4 * 22 and steps(last) % 22, "not in the middle of an epoch"
    finish(fit("killed", "--ckpt_path", "last"))

    whole, resumed = (
        torch.load(scratch / f"{one}/checkpoints/last.ckpt", weights_only=True)
        for one in ("whole", "killed")
    )
    for part in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        assert same(whole[part], resumed[part]), part
    assert whole["global_step"] == resumed["global_step"] == 88
