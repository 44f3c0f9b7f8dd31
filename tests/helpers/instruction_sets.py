"""One computation with each instruction set of the kernels."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import torch

_NAMES = ("baseline", "avx2", "avx512")  # the best of the processor, where it lacks one
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def check_instruction_sets(script: str, folder: Path, *arguments: str, atol: float = 0.0) -> None:
    """Require that a script saves the same tensors with all instruction sets.

    Args:
        script: Python code that saves a list of tensors to the file `sys.argv[1]`.
        folder: for these files.
        arguments: further ones of the script.
        atol: absolute tolerance, where that of the float type is too small.
    """
    results = []
    for name in _NAMES:
        environment = {**os.environ, "TORCHML_DESCRIPTOR_SIMD": name}
        command = [sys.executable, "-c", script, folder / name, *arguments]
        subprocess.run(command, env=environment, check=True)
        results.append(torch.load(folder / name, weights_only=True))
    for one, other in itertools.pairwise(results):
        for a, b in zip(one, other, strict=True):
            tolerance = _TOLERANCE[a.dtype]
            torch.testing.assert_close(a, b, rtol=tolerance, atol=max(tolerance, atol))
