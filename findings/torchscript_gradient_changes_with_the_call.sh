#!/usr/bin/env bash
# A scripted function of PyTorch returns another gradient from its second call on.
#
# Version:  torch 2.13.0 (CPU, Python 3.11)
# Input:    torch.jit.script of x -> std(x), with equal numbers, in float64; and of leaky_relu(x, 0.1).
# Seen:     the first call has the gradient of eager PyTorch. From the second call on TorchScript's
#           profiling executor differentiates with formulas of its own: for std of equal values NaN in
#           place of 0, and for leaky_relu the slope 0.1 rounded to float32 (0.10000000149) although
#           all numbers are float64. Values do not change, and there is no warning.
#           torch._C._jit_set_profiling_executor(False) keeps the gradient of the first call.
# Effect:   forces of a scripted potential differ between the first step of a run and the others.
#
# Ends with 0 if PyTorch still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch


def deviation(x: torch.Tensor) -> torch.Tensor:
    return (x * 1.0).std()


def leaky(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.leaky_relu(x * 1.0, 0.1).sum()


def gradients(function, values):
    """The first entry of the gradient in four calls."""
    results = []
    for _ in range(4):
        x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        function(x).backward()
        results.append(float(x.grad[0]))
    return results


found = {}
for function, values in ((deviation, [1.5, 1.5, 1.5]), (leaky, [-1.0])):
    found[function.__name__] = gradients(torch.jit.script(function), values)
    print(f"{function.__name__:10} eager    {gradients(function, values)}")
    print(f"{'':10} scripted {found[function.__name__]}")
assert found["deviation"][0] == 0.0 and all(g != g for g in found["deviation"][2:])
assert found["leaky"][0] == 0.1 and all(1e-9 < abs(g - 0.1) < 1e-7 for g in found["leaky"][2:])
PY
venv/bin/python show.py
