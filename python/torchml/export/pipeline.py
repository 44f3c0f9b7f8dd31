"""Export a trained model as a KIM portable model, after checking that it runs.

    load --> prepare --> write into a scratch folder --> check that folder --> rename --> install

The model folder appears only when every check has passed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import torchml
import torchml._core as core
from torchml import kim
from torchml.contract import metadata, param_file
from torchml.contract.compiled_inputs import arguments_of
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.export.accuracy import Tolerance
from torchml.export.aoti.compilation import compile_module
from torchml.export.checks.check import CheckFailed, failed
from torchml.export.checks.engine import check_alone, check_engine, check_numbers
from torchml.export.checks.parity import check_parity, check_parity_with_network
from torchml.export.descriptor import DESCRIPTOR_FILE, ExportedDescriptor, find_descriptor
from torchml.export.forms import FORMATS, Forms, choose
from torchml.export.prepare import Prepared, prepare
from torchml.export.request import Request, Result
from torchml.importers.adding import added
from torchml.importers.committees import committee_of, files_of
from torchml.importers.opening import Loaded, NoTorchScript, load
from torchml.models import Committee, Scaled, Sum
from torchml.reference.agreement import Check

__all__ = ["FORMATS", "Export", "Result", "export", "export_model"]

Export = Request  # its name before there were several ways to ask for an export

MODEL_FILE = "model.pt"
COMPILED_FILE = "model.pt2"
PARAM_FILE = "model.param"


def export_model(
    model: str | Path | Sequence[str | Path],
    *,
    committee: bool = False,
    source: str | None = None,
    head: str | None = None,
    python: str | Path | None = None,
    species: Sequence[str] | str | None = None,
    cutoff: float | None = None,
    layers: int | None = None,
    convention: str | None = None,
    descriptor: str | Path | None = None,
    species_input: str | None = None,
    stage_edges: str | None = None,
    extensions: Sequence[str] | None = None,
    add: Sequence[str] | str | None = None,
    dtype: str | None = None,
    compress: bool = False,
    tolerance: tuple[float, float] | None = None,
    format: str | None = None,
    instruction_set: str | None = None,
    device: str = "cpu",
    name: str | None = None,
    output: str | Path = ".",
    install: str | None = None,
    overwrite: bool = False,
    driver: str | None = None,
    title: str | None = None,
    description: str | None = None,
    author: str | None = None,
    references: Sequence[str] | str | None = None,
    training_data: str | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Result:
    """Make a KIM portable model of a trained model, after checking that it runs.

    The keywords are those of `python -m torchml_export`; `source` is its `--from`.

    Args:
        model: checkpoint of a training, TorchScript archive, or model of another package, a file
            or a name that the package knows. Of a committee, several of these, or the folder of a
            training with `--members`.
        committee: make one model of several members, which gives their mean and, where it is
            requested, how much they differ (docs/uncertainty.md).
        source: the package whose model it is, one of `torchml importers`, or FILE.py:function.
            Reading it may run any code: name it only where you trust the model's source. None for a
            checkpoint or an archive.
        head: with `source`, which head, modality or fidelity of a model with several.
        python: with `source`, the Python of an environment that has torch and the package; None is
            this one.
        species: chemical symbols; species code k means the k-th. Of a model of another package,
            the elements to keep.
        cutoff: radius of one neighbour list (Å).
        layers: message-passing layers; the influence distance is layers x cutoff.
        convention: how `forward` is called: raw, graph, edges or descriptor. Of a checkpoint, for
            which of them it is scripted; None is edges, or descriptor for networks on one.
        descriptor: file with the parameters of the descriptor, YAML or descriptor.dat.
        species_input: what the first input of `forward` holds, after a descriptor the second:
            code or atomic_number.
        stage_edges: convention graph: symmetric or directed edges.
        extensions: operator libraries that the model needs: paths or Python packages.
        add: what is added to the model (docs/sums.md): zbl[:inner,outer], d3:functional[,cutoff],
            or the file of a second model; lengths in Å.
        dtype: float type of the network of a checkpoint, float32 or float64; None is float64. Of a
            model whose package's code is traced, that in which it runs; None is its own.
        compress: replace what depends on the distance alone by splines; their error is measured.
        tolerance: largest errors of a compressed model (eV/atom, eV/Å); None is (1e-6, 1e-5).
        format: torchscript; aoti, energy and forces compiled ahead of time, without TorchScript;
            or both: TorchScript runs where the compiled archive does not fit. None is both for a
            network where there is a C++ compiler, and torchscript for an archive, a committee and a
            sum.
        instruction_set: of compiled models: avx2, avx512 or native; None is avx2 on x86-64.
        device: of compiled models: cpu or cuda, for which the model is compiled.
        name: KIM name, short (SW_Si) or with its ID; None makes one of class and elements, or of
            the name of an archive.
        output: folder in which the model folder is made.
        install: KIM collection to install the model into, user, environment or system; None
            installs nothing.
        overwrite: replace the folder, and the installed model, of this name.
        driver: KIM ID of the model driver; None is that of TorchML.
        title: title in kimspec.edn.
        description: description in kimspec.edn.
        author: author in kimspec.edn and in the metadata of the archive.
        references: publications about the model, for the metadata; None keeps those of an archive.
        training_data: what the model was trained on, for the metadata; None keeps that of an
            archive.
        progress: called with the name of each long step before it starts.

    Returns:
        The checks, the metadata, and the folder of the portable model.

    Raises:
        CheckFailed: a check failed, and nothing was written; it carries all checks.
        TorchMLError: the model cannot be read, a fact about it is missing or contradicts another,
            or the place for the folder is taken.
    """
    if tolerance and not compress:
        raise TorchMLError("--tolerance is that of a compressed model, expected --compress with it")
    symbols = [species] if isinstance(species, str) else species
    first, *others = _members(model, committee, source is not None)
    request = Request(
        model=first if source else Path(first),
        committee=tuple(one if source else Path(one) for one in others),
        source=source,
        head=head,
        python=python,
        add=(add,) if isinstance(add, str) else tuple(map(str, add or ())),
        name=name,
        facts=ModelMetadata(
            convention=convention,
            species=tuple(" ".join(symbols).split()) if symbols else None,
            cutoff=cutoff,
            layers=layers,
            dtype=dtype,
            species_input=species_input,
            stage_edges=stage_edges,
            extensions=_absolute(extensions) if extensions else None,
        ),
        descriptor=None if descriptor is None else Path(descriptor),
        output=Path(output),
        driver=driver or kim.DRIVER,
        collection=install,
        overwrite=overwrite,
        compress=Tolerance(*(tolerance or ())) if compress else None,
        title=title,
        description=description,
        author=author,
        references=(references,) if isinstance(references, str) else _tuple(references),
        training_data=training_data,
        format=format,
        instruction_set=instruction_set,
        device=device,
        progress=progress,
    )
    result = export(request)
    if result.folder is None:
        raise CheckFailed(result.checks)
    return result


def export(request: Request) -> Result:
    """Check a model, write its folder, and install it where the request names a collection.

    Args:
        request: what to export, and under which name.

    Returns:
        The checks and the folder; the folder is None when a check failed and nothing was written.

    Raises:
        TorchMLError: the model cannot be read, a fact about it is missing or contradicts another,
            or the place for the folder is taken.
    """
    request.require_consistent()
    if request.is_compiled:
        return _as_it_is(request)
    loaded = load(request.model, foreign=request.foreign())
    if request.committee:
        others = [load(one, foreign=request.foreign()) for one in request.committee]
        loaded, facts = committee_of([loaded, *others], request.facts)
        request = replace(request, facts=facts)
    if request.add:
        loaded, facts = added(loaded, request.add, request.facts)
        request = replace(request, facts=facts)
    folder = _destination(request, loaded.name)
    compiled = request.instruction_set is not None or request.device != "cpu"
    forms = choose(request.format, loaded.model, compiled=compiled)
    try:
        prepared, forms = _prepare(loaded, request, forms)
    except CheckFailed as failure:
        return Result(failure.checks)
    with tempfile.TemporaryDirectory() as scratch:
        draft = _write(prepared, request, Path(scratch), folder.name)
        checks = [*_alone(prepared, draft), *prepared.reports]
        if forms.note:
            checks.append(Check("forms", "pass", f"{_NAMES[forms.format]} alone: {forms.note}"))
        if not failed(checks) and forms.format != "torchscript":
            draft, further = _compiled(draft, prepared, request, forms)
            checks += further
        elif not failed(checks):
            checks += _check(draft, prepared, request)
        if failed(checks):
            return Result(checks, draft.facts)
        _publish(draft, folder, request)
    return Result(checks, draft.facts, folder)


def _as_it_is(request: Request) -> Result:
    """Export a compiled archive: the checks of the engine, and no change."""
    archive = Path(request.model)
    facts = metadata.read(archive)
    if facts is None or facts.inputs is None:
        raise TorchMLError(f"{archive} has no 'inputs', expected an archive that TorchML compiled")
    folder = _destination(request, archive.stem)
    request = replace(request, device=facts.device or "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        draft = _Draft(Path(scratch), Path(scratch) / COMPILED_FILE, facts)
        shutil.copy(archive, draft.model)
        _write_parameters(draft, len(arguments_of(facts) or ()))
        descriptor = find_descriptor(facts, archive, None)
        _write_descriptor(draft, descriptor)
        checks, _ = _numbers(draft, request, descriptor.cutoffs if descriptor else None, None)
        if failed(checks):
            return Result(checks, facts)
        _publish(draft, folder, request)
    return Result(checks, facts, folder)


_NAMES = {"torchscript": "TorchScript", "aoti": "AOTInductor"}


def _prepare(loaded: Loaded, request: Request, forms: Forms) -> tuple[Prepared, Forms]:
    """The model in memory. Where TorchScript is wanted but cannot be made, the others stay."""

    def prepared(scripting: bool) -> Prepared:
        return prepare(
            loaded, request.facts, request.compress, request.descriptor, scripting=scripting
        )

    try:
        return prepared(forms.format != "aoti"), forms
    except NoTorchScript as error:
        if forms.format != "both":
            raise
        return prepared(False), Forms("aoti", note=str(error))


def _members(
    model: str | Path | Sequence[str | Path], committee: bool, foreign: bool
) -> list[str | Path]:
    """The models to open: one, or the members of a committee."""
    models = [model] if isinstance(model, (str, Path)) else list(model)
    if committee:
        return files_of(models, foreign)
    if len(models) == 1:
        return models
    raise TorchMLError(
        f"{len(models)} models are given, expected one, or --committee to make one model of them"
    )


@dataclass
class _Draft:
    """The files of a model in the scratch folder.

    Attributes:
        folder: the scratch folder.
        model: the archive that the model folder will hold.
        facts: its metadata.
        original: the TorchScript archive in the engine, for comparison with the compiled one.
        fallback: that archive, for machines that the compiled one does not fit.
        descriptor: descriptor.dat; None for other conventions.
    """

    folder: Path
    model: Path
    facts: ModelMetadata
    original: core.Potential | None = None
    fallback: Path | None = None
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


def _write(prepared: Prepared, request: Request, scratch: Path, name: str) -> _Draft:
    """Write the archive with its metadata, its `.param` file and the parameters of a descriptor."""
    facts = _with_provenance(prepared, request, name)
    draft = _Draft(scratch, scratch / MODEL_FILE, facts)
    if prepared.module is not None:
        metadata.save(prepared.module, draft.model, draft.facts, prepared.others)
        _write_parameters(draft, len(prepared.arguments))
    _write_descriptor(draft, prepared.descriptor)
    return draft


def _with_provenance(prepared: Prepared, request: Request, name: str) -> ModelMetadata:
    """The metadata with the origin of the model; the caller's entries replace older ones."""
    facts = prepared.facts
    exact = isinstance(prepared.network, Scaled | Sum | Committee) and facts.dtype == "float32"
    return replace(
        facts,
        name=name,
        authors=(request.author,) if request.author else facts.authors,
        references=request.references or facts.references,
        training_data=request.training_data or facts.training_data,
        torchml_version=torchml.__version__,
        receptive_field=(facts.layers or 1) * (facts.cutoff or 0.0),
        precision="float32 network, float64 energies" if exact else facts.dtype,
    )


def _write_parameters(draft: _Draft, inputs: int) -> None:
    draft.parameters.write_text(param_file.render(draft.facts, draft.model.name, inputs))


def _write_descriptor(draft: _Draft, descriptor: ExportedDescriptor | None) -> None:
    if descriptor:
        draft.descriptor = draft.folder / DESCRIPTOR_FILE
        draft.descriptor.write_text(descriptor.text)


def _alone(prepared: Prepared, draft: _Draft) -> list[Check]:
    """An archive has passed this check before it was loaded; a network in Python passes it here."""
    if prepared.alone or prepared.module is None:
        return []
    return [check_alone(draft.model, draft.facts.extensions or ())[0]]


def _compiled(
    draft: _Draft, prepared: Prepared, request: Request, forms: Forms
) -> tuple[_Draft, list[Check]]:
    """The model with a compiled archive, and its checks.

    Where the caller left the choice of forms and the compiler, or a check of what it made, fails,
    the TorchScript remains.
    """
    if forms.automatic:
        request.progress("compiling it, too (without: --format torchscript)")
    try:
        compiled, checks = _compile(draft, prepared, request, forms)
        if not failed(checks):
            checks += _check(compiled, prepared, request)
        problem = _failure(checks)
    except TorchMLError as error:
        if not forms.automatic:
            raise
        problem = str(error)
    if not (problem and forms.automatic):
        return compiled, checks
    note = Check("forms", "pass", f"TorchScript alone: {problem}")
    return draft, [note, *_check(draft, prepared, request)]


def _failure(checks: Sequence[Check]) -> str:
    """The first failed check of a compiled archive in words; empty where all passed."""
    failures = [f"its check '{one.name}': {one.detail}" for one in checks if one.verdict == "fail"]
    return f"the compiled archive failed {failures[0]}" if failures else ""


def _compile(
    draft: _Draft, prepared: Prepared, request: Request, forms: Forms
) -> tuple[_Draft, list[Check]]:
    """Compile the model into a folder of its own, whose `.param` file names the new archive."""
    name = draft.model.name if prepared.network is None else type(prepared.network).__name__
    original, energy_kind = None, "per_particle"
    if prepared.module is not None:
        check, original = check_engine(draft.model, request.device)
        if original is None:
            return draft, [check]
        energy_kind = str(original.energy_kind)
    folder = draft.folder / "compiled"
    folder.mkdir()
    facts = compile_module(
        prepared.module,
        draft.facts,
        folder / COMPILED_FILE,
        name=name,
        energy_kind=energy_kind,
        instruction_set=request.instruction_set,
        device=request.device,
        network=prepared.network,
        progress=request.progress,
    )
    compiled = _Draft(
        folder,
        folder / COMPILED_FILE,
        facts,
        original=original,
        fallback=draft.model if forms.format == "both" else None,
    )
    if draft.descriptor:
        compiled.descriptor = Path(shutil.copy(draft.descriptor, folder))
    _write_parameters(compiled, len(arguments_of(facts) or ()))
    request.progress("checking")
    return compiled, [Check("compiled", "pass", f"{facts.instruction_set}, {facts.device}")]


def _check(draft: _Draft, prepared: Prepared, request: Request) -> list[Check]:
    """Check the numbers of the scratch folder, and compare them with the model's other form."""
    checks, potential = _numbers(draft, request, *_ranges(prepared))
    if potential is None or failed(checks):
        return checks
    if draft.original is not None:
        checks.append(check_parity(potential, draft.original))
    elif prepared.module is None and prepared.network is not None:
        checks.append(check_parity_with_network(potential, prepared.network))
    return checks


def _numbers(
    draft: _Draft, request: Request, cutoffs: NDArray[Any] | None, scale: float | None
) -> tuple[list[Check], core.Potential | None]:
    """Load the scratch folder in the engine, as a simulator does, and check its numbers."""
    check, potential = check_engine(draft.folder, request.device)
    if potential is None:
        return [check], None
    return [check, *check_numbers(potential, cutoffs, scale)], potential


def _ranges(prepared: Prepared) -> tuple[NDArray[Any] | None, float | None]:
    """Cutoffs of the pairs of a descriptor; of a sum, the cutoff of its first part."""
    network = prepared.network
    return (
        prepared.descriptor.cutoffs if prepared.descriptor else None,
        network.scale if isinstance(network, Sum | Committee) else None,
    )


def _publish(draft: _Draft, folder: Path, request: Request) -> None:
    """Make the model folder of the files in the scratch folder, and install it if asked to."""
    files = {file.name: file for file in (draft.parameters, draft.model)}
    if draft.fallback:
        files[MODEL_FILE] = draft.fallback
    if draft.descriptor:
        files[DESCRIPTOR_FILE] = draft.descriptor
    species = draft.facts.species or ()
    kind = "TorchScript" if draft.facts.inputs is None else "AOTInductor"
    kim.write_portable_model(
        folder,
        driver=request.driver,
        species=species,
        parameter_files=files,
        title=request.title or f"{kind} potential for {' '.join(species)}",
        description=request.description or _describe(draft.facts, request.compress is not None),
        author=request.author,
        overwrite=request.overwrite,
    )
    if request.collection is not None:
        kim.install(folder, request.collection, force=request.overwrite)


def _describe(facts: ModelMetadata, compressed: bool) -> str:
    layers = f" and {facts.layers} message-passing layers" if (facts.layers or 1) > 1 else ""
    kind = "TorchScript" if facts.inputs is None else "AOTInductor"
    return (
        f"{kind} model for {' '.join(facts.species or ())} with a cutoff of {facts.cutoff} Å"
        f"{layers}, exported by TorchML for the calling convention '{facts.convention}'"
        + (", compressed: it needs the operators of this version's driver." if compressed else ".")
    )


def _tuple(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts)


def _absolute(extensions: Sequence[str]) -> tuple[str, ...]:
    """Paths of libraries must hold in the simulator's folder too; names stay names."""
    return tuple(str(Path(one).resolve()) if Path(one).exists() else one for one in extensions)
