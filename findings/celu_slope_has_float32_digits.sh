#!/usr/bin/env bash
# The slope of PyTorch's celu has 8 digits in float64, so forces of ANI networks have no more.
#
# Version:  torch 2.13.0 (CPU, Python 3.11)
# Input:    torch.nn.functional.celu(x, alpha=0.1), the activation of ANI-1x, ANI-1ccx and ANI-2x, and
#           alpha=0.3, of negative x in float64.
# Seen:     values agree with alpha * expm1(x / alpha) to the last digit. The derivative by autograd
#           differs from exp(x / alpha) by up to 1.2e-8 (alpha=0.1) and 3.7e-8 (0.3), as 1 / alpha is
#           rounded to float32 in it; for alpha=0.5, whose inverse is exact, it does not:
#               alpha 0.1    value 1.4e-17  slope 1.2e-08
#               alpha 0.3    value 0.0e+00  slope 3.7e-08
#               alpha 0.5    value 0.0e+00  slope 1.1e-16
# Effect:   forces of ANI in float64 differ from the derivative of its energy, and from other programs
#           that compute the same network, by 1e-8 of their size, whatever the precision.
#
# Ends with 0 if PyTorch still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
cat >show.py <<'PY'
import torch

slopes = {}
for alpha in (0.1, 0.3, 0.5):
    x = torch.linspace(-1.0, -0.01, 200, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.celu(x, alpha=alpha)
    (slope,) = torch.autograd.grad(y.sum(), x)
    value = (y - alpha * torch.expm1(x / alpha)).abs().max().item()
    slopes[alpha] = (slope - torch.exp(x / alpha)).abs().max().item()
    print(f"alpha {alpha:<6} value {value:.1e}  slope {slopes[alpha]:.1e}")
    assert value < 1e-14
assert slopes[0.1] > 1e-9 and slopes[0.3] > 1e-9 and slopes[0.5] < 1e-14
PY
venv/bin/python show.py
