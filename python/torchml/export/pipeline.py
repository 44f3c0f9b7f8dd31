"""Export a trained model as a KIM portable model, after checking that it will run.

    checkpoint --script--> archive --probe--> Signature --complete--> metadata --check--> folder

Nothing is written unless every check passes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from torchml import kim
from torchml.contract import metadata, param_file
from torchml.contract.compiled_inputs import arguments_of
from torchml.contract.completion import complete, merge
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.contract.operators import load_extensions
from torchml.contract.signature import probe
from torchml.errors import TorchMLError
from torchml.export.accuracy import Tolerance, check_compression, check_float32, difference
from torchml.export.aoti import compilation as aoti
from torchml.export.checks.numbers import Check, check_numbers, check_parity, check_radial, failed
from torchml.export.descriptor import DESCRIPTOR_FILE, check_width, facts_of, find_descriptor
from torchml.importers.opening import Source, opened
from torchml.inference.compiled import SUFFIX
from torchml.models import EdgeModel

MODEL_FILE = "model.pt"
COMPILED_FILE = "model.pt2"
PARAM_FILE = "model.param"


FORMATS = ("torchscript", "aoti")


@dataclass(frozen=True)
class Export:
    """What to export, and under which name.

    Attributes:
        model: TorchScript archive, or checkpoint of a training.
        name: KIM name of the model, with or without its ID; None makes one of the class and the
            elements of a checkpoint, or of the name of an archive.
        facts: what the caller says about the model; the rest is read from the archive. The
            convention is that for which a checkpoint is scripted; where it is not said, that of its
            model, mostly `edges`.
        descriptor: file with the parameters of the model's descriptor, YAML or descriptor.dat.
        output: folder in which the model folder is made.
        driver: KIM ID of the model driver that will run it.
        collection: KIM collection to install the model into; None leaves it at the folder.
        overwrite: replace a model folder, and an installed model, of this name.
        compress: put splines in place of what depends on the distance alone in a checkpoint,
            with at most these errors.
        format: torchscript, or aoti: energy and derivative compiled ahead of time.
        instruction_set: aoti: avx2, avx512 or native; None is avx2 on x86-64.
        device: aoti: cpu or cuda, what it is compiled for.
        progress: called with what takes long, before it is done.
    """

    model: Path
    name: str | None = None
    facts: ModelMetadata = field(default_factory=ModelMetadata)
    descriptor: Path | None = None
    output: Path = Path()
    driver: str = kim.DRIVER
    collection: str | None = None
    overwrite: bool = False
    compress: Tolerance | None = None
    title: str | None = None
    description: str | None = None
    author: str | None = None
    format: str = "torchscript"
    instruction_set: str | None = None
    device: str = "cpu"
    progress: Callable[[str], None] = lambda step: None


@dataclass(frozen=True)
class Result:
    """`folder` is None when a check failed, and then nothing was written."""

    checks: list[Check]
    facts: ModelMetadata | None = None
    folder: Path | None = None


def export(order: Export) -> Result:
    """Check the model, write its folder, and install it where the order says so."""
    if order.format not in FORMATS:
        raise TorchMLError(f"the format is '{order.format}', expected {' | '.join(FORMATS)}")
    if order.format != "aoti" and (order.instruction_set or order.device != "cpu"):
        raise TorchMLError(
            "an instruction set or a device is given for the format 'torchscript', whose archives "
            "run on any; expected the format 'aoti'"
        )
    if order.model.suffix == SUFFIX:
        raise TorchMLError(
            f"{order.model} is compiled already, expected the checkpoint or the TorchScript archive"
        )
    convention = order.facts.convention or ("descriptor" if order.descriptor else None)
    facts = order.facts
    with opened(order.model, convention, facts.dtype, order.compress, facts.species) as source:
        return _export(order, source)


def _export(order: Export, source: Source) -> Result:
    name = kim.model_name(order.name or source.name)
    folder = order.output / name
    if folder.exists() and not order.overwrite:
        raise TorchMLError(f"{folder} exists already; pass --overwrite to replace it")
    kim.require_writable(order.output)
    if order.collection is not None:
        kim.require_driver(order.driver)
        if (installed := kim.installed_folder(name)) and not order.overwrite:
            raise TorchMLError(f"{installed} is installed already; pass --overwrite to replace it")

    archive = metadata.read(source.archive) or ModelMetadata()
    descriptor = find_descriptor(archive, order.model, order.descriptor)
    told = merge(
        (f"the metadata of {order.model}", replace(archive, descriptor_parameters=None)),
        ("the caller", order.facts),
        *([(f"the descriptor in {descriptor.source}", facts_of(descriptor))] if descriptor else []),
    )
    try:
        signature = probe(source.archive, told.extensions or ())
    except TorchMLError as error:
        return Result([Check("loads with torch alone", "fail", str(error))])
    facts = complete(told, signature, order.model)
    checks = [
        Check("loads with torch alone", "pass", "in a fresh Python process"),
        Check("signature", "pass", f"{facts.convention}: ({', '.join(signature.arguments)})"),
        Check("dtype", "pass", f"{facts.dtype}"),
        *_accuracy(order, source),
    ]

    with tempfile.TemporaryDirectory() as scratch:
        model_file = Path(scratch) / MODEL_FILE
        parameters = Path(scratch) / PARAM_FILE
        module = _load(source.archive, facts.extensions or ())
        if facts.convention == "edges":
            check, facts = check_radial(module, facts)
            checks.append(check)
        if descriptor:
            checks.append(check_width(module, facts, descriptor))
        others = metadata.extra_files(source.archive)
        others = {k: v for k, v in others.items() if not k.startswith(metadata.PREFIX)}
        metadata.save(module, model_file, facts, others)
        if order.format == "aoti" and not failed(checks):
            plain, model_file = model_file, Path(scratch) / COMPILED_FILE
            facts = aoti.compile_archive(
                plain,
                model_file,
                instruction_set=order.instruction_set,
                device=order.device,
                model=_exported(source),
                progress=order.progress,
            )
            checks.append(Check("compiled", "pass", f"{facts.instruction_set}, {facts.device}"))
            order.progress("checking")
        inputs = arguments_of(facts) or signature.arguments
        parameters.write_text(param_file.render(facts, model_file.name, len(inputs)))
        files = [parameters, model_file]
        if descriptor:
            files.append(Path(scratch) / DESCRIPTOR_FILE)
            files[-1].write_text(descriptor.text)
        if not failed(checks):
            checks += check_numbers(
                Path(scratch), descriptor.cutoffs if descriptor else None, order.device
            )
        if order.format == "aoti" and not failed(checks):
            checks.append(check_parity(model_file, plain, order.device))
        if failed(checks):
            return Result(checks, facts)
        kim.write_portable_model(
            folder,
            driver=order.driver,
            species=facts.species or (),
            parameter_files={file.name: file for file in files},
            title=order.title
            or f"{'TorchScript' if order.format == 'torchscript' else 'AOTInductor'} potential for "
            f"{' '.join(facts.species or ())}",
            description=order.description or _describe(facts, order.compress is not None),
            author=order.author,
            overwrite=order.overwrite,
        )
    if order.collection is not None:
        kim.install(folder, order.collection, force=order.overwrite)
    return Result(checks, facts, folder)


def _load(model: Path, extensions: tuple[str, ...]) -> torch.jit.ScriptModule:
    load_extensions(extensions)
    with quiet_torchscript():
        module: torch.jit.ScriptModule = torch.jit.load(str(model), map_location="cpu")
    # As the engine runs it: without dropout, with the averages of batch normalisation.
    module.eval()
    return module


def _accuracy(order: Export, source: Source) -> list[Check]:
    """What splines and float32 cost, each on its own."""
    checks = []
    if source.compressed is not None and order.compress is not None:
        checks.append(check_compression(*source.compressed, order.compress))
    if source.exact is not None and (exported := _exported(source)) is not None:
        checks.append(check_float32(difference(source.exact, exported)))
    return checks


def _exported(source: Source) -> EdgeModel | None:
    """What was scripted, where it is known in Python."""
    if source.compressed is not None:
        return source.compressed[0].model
    return source.trained if isinstance(source.trained, EdgeModel) else None


def _describe(facts: ModelMetadata, compressed: bool) -> str:
    layers = f" and {facts.layers} message-passing layers" if (facts.layers or 1) > 1 else ""
    kind = "TorchScript" if facts.inputs is None else "AOTInductor"
    return (
        f"{kind} model for {' '.join(facts.species or ())} with a cutoff of {facts.cutoff} Å"
        f"{layers}, exported by TorchML for the calling convention '{facts.convention}'"
        + (", compressed: it needs the operators of this version's driver." if compressed else ".")
    )
