"""The signature of `forward`, read in a separate process."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml.contract.archives import check_archive
from torchml.contract.operators import load_extensions
from torchml.errors import ModelError

SHELL_COUNTS = ("node_counts", "edge_counts")  # optional inputs of the convention `edges`


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and float types of the `forward` of an archive.

    Attributes:
        arguments: names of the inputs that have no default value.
        types: their TorchScript types.
        outputs: TorchScript types of the outputs, one entry per tensor of the tuple.
        dtypes: float types of the parameters (of the buffers where there are no parameters).
    """

    arguments: tuple[str, ...]
    types: tuple[str, ...]
    outputs: tuple[str, ...]
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, module: Any) -> Signature:
        """Read the signature of a TorchScript module in memory."""
        return cls(**{key: tuple(value) for key, value in forward_of(module).items()})

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Read the signature that the probe prints."""
        return cls(**{key: tuple(value) for key, value in json.loads(text).items()})


def forward_of(module: Any) -> dict[str, list[str]]:
    """Return the fields of a `Signature`, read from a TorchScript module in memory."""
    schema = module.forward.schema
    inputs = [one for one in schema.arguments[1:] if not one.has_default_value()]
    returned = schema.returns[0].type
    outputs = returned.elements() if returned.kind() == "TupleType" else [returned]
    return {
        "arguments": [one.name for one in inputs],
        "types": [str(one.type) for one in inputs],
        "outputs": [str(one) for one in outputs],
        "dtypes": float_types(module),
    }


def float_types(module: Any) -> list[str]:
    """Return the float types of the parameters; of the buffers where there are no parameters."""
    for tensors in (module.parameters(), module.buffers()):
        if found := {str(one.dtype)[6:] for one in tensors if one.is_floating_point()}:
            return sorted(found)
    return []


# Runs without this package, as in the simulator.
_PROBE = f"""
from __future__ import annotations
import json, sys, warnings
warnings.simplefilter("ignore")
import torch
{inspect.getsource(load_extensions)}
{inspect.getsource(float_types)}
{inspect.getsource(forward_of)}
load_extensions(sys.argv[2:])
print(json.dumps(forward_of(torch.jit.load(sys.argv[1], map_location="cpu"))))
"""


def probe(model: Path, extensions: tuple[str, ...] = ()) -> Signature:
    """Load the archive in a separate process and read the signature of its `forward`.

    Args:
        model: TorchScript archive.
        extensions: operator libraries to load first.

    Raises:
        FileError: the archive is damaged, or made to do harm.
        ModelError: torch cannot load the archive, or an operator is missing.
    """
    check_archive(model, "TorchScript archive")
    command = [sys.executable, "-c", _PROBE, str(model.resolve()), *extensions]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    ours = "torchml._core"  # holds the operators of compressed models, as the driver does
    if "Unknown builtin op: torchml::" in done.stderr and ours not in extensions:
        return probe(model, (ours, *extensions))
    if done.returncode != 0:
        if missing := re.search(r"Unknown builtin op: ([\w:]+)", done.stderr):
            raise ModelError(
                f"{model} needs the operator {missing[1]}, which is not part of torch; "
                "pass --extensions with the library that contains it"
            )
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in reversed(lines) if re.match(r"[\w.]*Error", line)), "it crashed"
        )
        raise ModelError(f"{model} cannot be loaded as TorchScript by torch alone: {reason}")
    return Signature.from_json(done.stdout.splitlines()[-1])
