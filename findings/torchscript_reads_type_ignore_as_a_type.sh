#!/usr/bin/env bash
# TorchScript takes `# type: ignore[a, b]` for a type of Python 2 and refuses the function.
#
# Version:  torch 2.13.0 (CPU, Python 3.11)
# Input:    functions of a potential, typed in the usual way, with mypy's comment `# type: ignore[...]` on
#           a line of their body. torch.jit.script is told to pass over such comments.
# Seen:     it passes over a bare comment and over one that names one error; one that names two, or
#           one with words behind it, is read as a type:
#               bare   compiled
#               one    compiled
#               two    RuntimeError: expected type comment but found 'ident' here:
#               words  RuntimeError: expected type comment but found 'ident' here:
# Effect:   a network that type-checks and runs cannot be exported because of a comment, and the message
#           speaks of a type that nobody wrote. One error in each comment, or none, is compiled.
#
# Ends with 0 if PyTorch still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
python3 - <<'PY'
comments = {
    "bare": "type: ignore",
    "one": "type: ignore[misc]",
    "two": "type: ignore[misc, assignment]",
    "words": "type: ignore[misc]  # of torch",
}
with open("functions.py", "w") as file:
    file.write("from torch import Tensor\n")
    for name, comment in comments.items():
        file.write(f"\n\ndef {name}(positions: Tensor) -> Tensor:\n")
        file.write(f"    total = positions.sum()  # {comment}\n    return total\n")
PY
cat >show.py <<'PY'
import warnings

import functions
import torch

warnings.simplefilter("ignore")
results = []
for name in ("bare", "one", "two", "words"):
    try:
        torch.jit.script(getattr(functions, name))
        results.append("compiled")
    except RuntimeError as error:
        results.append(f"RuntimeError: {str(error).splitlines()[0]}")
    print(f"{name:6} {results[-1]}")
assert results[:2] == ["compiled", "compiled"]
assert all("expected type comment" in result for result in results[2:])
PY
venv/bin/python show.py
