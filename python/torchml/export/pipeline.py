"""Export a trained model as a KIM portable model, after checking that it runs.

    load --> prepare --> write into a scratch folder --> check that folder --> rename --> install

The model folder appears only when every check has passed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torchml._core as core
from torchml import kim
from torchml.contract import metadata, param_file
from torchml.contract.compiled_inputs import arguments_of
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.export.aoti.compilation import compile_module
from torchml.export.checks.check import CheckFailed, failed
from torchml.export.checks.loading import check_alone, check_engine
from torchml.export.checks.numbers import check_numbers
from torchml.export.checks.parity import check_parity
from torchml.export.descriptor import DESCRIPTOR_FILE
from torchml.export.prepare import Prepared, prepare
from torchml.export.request import FORMATS, Request, Result
from torchml.importers.opening import load
from torchml.reference.agreement import Check

__all__ = ["FORMATS", "Export", "Result", "export"]

Export = Request  # its name before there were several ways to ask for an export

MODEL_FILE = "model.pt"
COMPILED_FILE = "model.pt2"
PARAM_FILE = "model.param"


def export(request: Request) -> Result:
    """Check a model, write its folder, and install it where the request says so.

    Args:
        request: what to export, and under which name.

    Returns:
        The checks and the folder; the folder is None when a check failed and nothing was written.

    Raises:
        TorchMLError: the model cannot be read, a fact about it is missing or contradicts another,
            or the place for the folder is taken.
    """
    request.require_consistent()
    loaded = load(request.model, request.source, request.facts.species, request.head)
    folder = _destination(request, loaded.name)
    try:
        prepared = prepare(loaded, request.facts, request.compress, request.descriptor)
    except CheckFailed as failure:
        return Result(failure.checks)
    with tempfile.TemporaryDirectory() as scratch:
        draft = _write(prepared, Path(scratch))
        checks = [*_alone(prepared, draft), *prepared.reports]
        if not failed(checks) and request.format == "aoti":
            checks += _compile(draft, prepared, request)
        if not failed(checks):
            checks += _check(draft, prepared, request)
        if failed(checks):
            return Result(checks, draft.facts)
        _publish(draft, folder, request)
    if request.collection is not None:
        kim.install(folder, request.collection, force=request.overwrite)
    return Result(checks, draft.facts, folder)


@dataclass
class _Draft:
    """The files of a model in the scratch folder.

    Attributes:
        folder: the scratch folder.
        model: the archive that the model folder will hold.
        facts: its metadata.
        original: aoti: the TorchScript archive in the engine.
        descriptor: descriptor.dat; None for other conventions.
    """

    folder: Path
    model: Path
    facts: ModelMetadata
    original: core.Potential | None = None
    descriptor: Path | None = None

    @property
    def parameters(self) -> Path:
        """The `.param` file."""
        return self.folder / PARAM_FILE


def _destination(request: Request, name: str) -> Path:
    """The folder to make. What is there already, or cannot be made, is an error."""
    name = kim.model_name(request.name or name)
    folder = request.output / name
    if folder.exists() and not request.overwrite:
        raise TorchMLError(f"{folder} exists already; pass --overwrite to replace it")
    kim.require_writable(request.output)
    if request.collection is not None:
        kim.require_driver(request.driver)
        if (installed := kim.installed_folder(name)) and not request.overwrite:
            raise TorchMLError(f"{installed} is installed already; pass --overwrite to replace it")
    return folder


def _write(prepared: Prepared, scratch: Path) -> _Draft:
    """Write the archive with its metadata, its `.param` file and the parameters of a descriptor."""
    draft = _Draft(scratch, scratch / MODEL_FILE, prepared.facts)
    metadata.save(prepared.module, draft.model, draft.facts, prepared.others)
    _write_parameters(draft, len(prepared.arguments))
    if prepared.descriptor:
        draft.descriptor = scratch / DESCRIPTOR_FILE
        draft.descriptor.write_text(prepared.descriptor.text)
    return draft


def _write_parameters(draft: _Draft, inputs: int) -> None:
    draft.parameters.write_text(param_file.render(draft.facts, draft.model.name, inputs))


def _alone(prepared: Prepared, draft: _Draft) -> list[Check]:
    """An archive has passed this check before it was loaded; a network in Python passes it here."""
    if prepared.alone:
        return []
    return [check_alone(draft.model, draft.facts.extensions or ())[0]]


def _compile(draft: _Draft, prepared: Prepared, request: Request) -> list[Check]:
    """Put a compiled archive in the place of the TorchScript one, which stays for comparison."""
    check, draft.original = check_engine(draft.model, request.device)
    if draft.original is None:
        return [check]
    name, draft.model = draft.model.name, draft.folder / COMPILED_FILE
    draft.facts = compile_module(
        prepared.module,
        draft.facts,
        draft.model,
        name=name,
        energy_kind=str(draft.original.energy_kind),
        instruction_set=request.instruction_set,
        device=request.device,
        network=prepared.network,
        progress=request.progress,
    )
    _write_parameters(draft, len(arguments_of(draft.facts) or ()))
    request.progress("checking")
    return [Check("compiled", "pass", f"{draft.facts.instruction_set}, {draft.facts.device}")]


def _check(draft: _Draft, prepared: Prepared, request: Request) -> list[Check]:
    """Load the scratch folder in the engine, as a simulator does, and check its numbers."""
    check, potential = check_engine(draft.folder, request.device)
    if potential is None:
        return [check]
    cutoffs = prepared.descriptor.cutoffs if prepared.descriptor else None
    checks = [check, *check_numbers(potential, cutoffs)]
    if draft.original is not None and not failed(checks):
        checks.append(check_parity(potential, draft.original))
    return checks


def _publish(draft: _Draft, folder: Path, request: Request) -> None:
    """Make the model folder of the files in the scratch folder."""
    files = [draft.parameters, draft.model, *([draft.descriptor] if draft.descriptor else [])]
    species = draft.facts.species or ()
    kind = "TorchScript" if request.format == "torchscript" else "AOTInductor"
    kim.write_portable_model(
        folder,
        driver=request.driver,
        species=species,
        parameter_files={file.name: file for file in files},
        title=request.title or f"{kind} potential for {' '.join(species)}",
        description=request.description or _describe(draft.facts, request.compress is not None),
        author=request.author,
        overwrite=request.overwrite,
    )


def _describe(facts: ModelMetadata, compressed: bool) -> str:
    layers = f" and {facts.layers} message-passing layers" if (facts.layers or 1) > 1 else ""
    kind = "TorchScript" if facts.inputs is None else "AOTInductor"
    return (
        f"{kind} model for {' '.join(facts.species or ())} with a cutoff of {facts.cutoff} Å"
        f"{layers}, exported by TorchML for the calling convention '{facts.convention}'"
        + (", compressed: it needs the operators of this version's driver." if compressed else ".")
    )
