"""Read and write parameters of descriptors: descriptor.dat and YAML.

descriptor.dat is the format of KLIFF and of the original driver; the `.param` file of a
model contains the kind. In YAML:

    kind: SymmetryFunctions       # or Bispectrum, SOAP, Xi
    species: [Si, C]
    cutoff: {Si-Si: 5.0, Si-C: 4.5, C-C: 4.0}     # or one number for all pairs (Å)
    parameters: set51             # a preset, or {preset: ..., options}, or the kind's parameters
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchml import _descriptors as core
from torchml.descriptors.parameters import KINDS, Parameters, from_core, preset
from torchml.errors import TorchMLError

_KEYS = ("kind", "species", "cutoff", "parameters")


def read(path: str | Path, kind: str | None = None) -> Parameters:
    """Read a descriptor.dat.

    Args:
        path: the file.
        kind: of the descriptor; None: the only kind that the file fits.

    Raises:
        TorchMLError: the file cannot be read, or fits no kind, or several.
    """
    text, name = _text_of(path), str(path)
    if kind is not None:
        return from_core(core.parse_parameters(text, kind, name))
    fitting, reasons = [], []
    for candidate in KINDS:
        try:
            fitting.append(from_core(core.parse_parameters(text, candidate, name)))
        except TorchMLError as error:
            reasons.append(f"{candidate} ({error})")
    if not fitting:
        raise TorchMLError(f"{name} is a descriptor.dat of no kind: " + "; ".join(reasons))
    if len(fitting) > 1:
        kinds = " or ".join(parameters.kind for parameters in fitting)
        raise TorchMLError(f"{name} may be of the kind {kinds}, expected the argument `kind`")
    return fitting[0]


def write(parameters: Parameters, path: str | Path) -> None:
    """Write a descriptor.dat; `read` returns the same parameters to the last bit."""
    _write(path, core.format_parameters(parameters.to_core()))


def load_parameters(path: str | Path, kind: str | None = None) -> Parameters:
    """Read a YAML file (*.yaml, *.yml) or a descriptor.dat.

    Args:
        path: the file.
        kind: of the descriptor; the kind in a YAML file must be the same.

    Raises:
        TorchMLError: the file cannot be read, or has another kind or a wrong value.
    """
    if Path(path).suffix not in (".yaml", ".yml"):
        return read(path, kind)
    import yaml  # type: ignore[import-untyped]

    try:
        values = yaml.safe_load(_text_of(path))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise TorchMLError(f"{path} is no YAML file: {reason}") from None
    try:
        parameters = from_dict(values)
    except TorchMLError as error:
        raise TorchMLError(f"{path}: {error}") from None
    if kind is not None and kind.lower() != parameters.kind.lower():
        raise TorchMLError(f"{path} has the kind {parameters.kind}, expected {kind}")
    return parameters


def save_parameters(parameters: Parameters, path: str | Path) -> None:
    """Write a YAML file, as `load_parameters` reads it."""
    import yaml

    _write(path, yaml.safe_dump(to_dict(parameters), sort_keys=False, allow_unicode=True))


def from_dict(values: Any) -> Parameters:
    """Return the parameters in the content of a YAML file."""
    if not isinstance(values, Mapping):
        raise TorchMLError(f"{values!r} is no descriptor, expected the keys {' '.join(_KEYS)}")
    for key in values:
        if key not in _KEYS:
            raise TorchMLError(f"the key '{key}' is unknown, expected one of: {' '.join(_KEYS)}")
    for key in ("kind", "species", "cutoff"):
        if key not in values:
            raise TorchMLError(f"the key '{key}' is missing, expected {' '.join(_KEYS)}")
    kinds = {name.lower(): cls for name, cls in KINDS.items()}
    cls = kinds.get(str(values["kind"]).lower())
    if cls is None:
        raise TorchMLError(f"kind is {values['kind']!r}, expected one of: {' '.join(KINDS)}")
    species, cutoff, details = values["species"], values["cutoff"], values.get("parameters")
    if details is None:
        return cls(species, cutoff)
    if isinstance(details, Mapping) and "preset" in details:
        options = {key: value for key, value in details.items() if key != "preset"}
        made = preset(str(details["preset"]), species, cutoff, **options)
    elif isinstance(details, str):
        made = preset(details, species, cutoff)
    else:
        return cls.from_details(species, cutoff, details)
    if not isinstance(made, cls):
        raise TorchMLError(f"the preset is a {made.kind}, expected {cls.kind} as in `kind`")
    return made


def to_dict(parameters: Parameters) -> dict[str, Any]:
    """Return the content of a YAML file: plain values only."""
    return {
        "kind": parameters.kind,
        "species": list(parameters.species),
        "cutoff": parameters.cutoff,
        "parameters": parameters.details(),
    }


def _text_of(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TorchMLError(
            f"{path} cannot be read ({error}), expected the parameters of a descriptor"
        ) from None


def _write(path: str | Path, text: str) -> None:
    """Write under another name and rename: a crash leaves no half-written file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        temporary = Path(scratch) / path.name
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
