"""A model loads where it will run: in a process that knows torch alone, and in the engine."""

from __future__ import annotations

from pathlib import Path

import torchml._core as core
from torchml.contract.signature import Signature, probe
from torchml.errors import TorchMLError
from torchml.reference.agreement import Check


def check_alone(archive: Path, extensions: tuple[str, ...]) -> tuple[Check, Signature | None]:
    """Load a TorchScript archive in a fresh Python process that does not import TorchML.

    Args:
        archive: TorchScript.
        extensions: operator libraries that it needs.

    Returns:
        The check, and the signature that the process found; None where the check failed.
    """
    name = "loads with torch alone"
    try:
        signature = probe(archive, extensions)
    except TorchMLError as error:
        return Check(name, "fail", str(error)), None
    return Check(name, "pass", "in a fresh Python process"), signature


def check_engine(model: Path, device: str = "cpu") -> tuple[Check, core.Potential | None]:
    """Load a model in the engine that the model driver runs inside a simulator.

    Args:
        model: folder with the files of a portable model, or an archive with its metadata.
        device: cpu or cuda.

    Returns:
        The check, and the potential in the engine; None where the check failed.
    """
    name = "loads in the driver's engine"
    try:
        potential = core.Potential(str(model), {}, device)
    except TorchMLError as error:
        return Check(name, "fail", str(error)), None
    return Check(name, "pass", f"on {potential.device}"), potential
