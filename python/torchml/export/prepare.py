"""A loaded model becomes what is exported, with complete metadata; nothing is written.

network --compress, dtype--> TorchScript --signature--> complete metadata
network --compress, dtype--> signature --------------> complete metadata, to be compiled alone
archive --fresh process----> signature --------------> complete metadata --> TorchScript
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from torchml.contract.completion import complete, merge
from torchml.contract.metadata import ModelMetadata
from torchml.contract.operators import load_extensions
from torchml.contract.signature import Signature
from torchml.contract.torchscript import load_script
from torchml.errors import ModelError
from torchml.export.accuracy import (
    Tolerance,
    check_compression,
    check_float32,
    compress_within,
    errors_of,
)
from torchml.export.checks.check import CheckFailed
from torchml.export.checks.descriptor_width import check_width
from torchml.export.checks.edge_vectors import check_radial
from torchml.export.checks.engine import check_alone
from torchml.export.compression import has_radial_functions
from torchml.export.descriptor import ExportedDescriptor, facts_of, find_descriptor
from torchml.importers.imported import Imported
from torchml.importers.opening import Loaded, cast, scripted
from torchml.models import Committee, EdgeModel, Sum, describe
from torchml.models.calling import Called, holds_torchscript
from torchml.models.dtype import network_dtype
from torchml.reference.agreement import Check


@dataclass(frozen=True)
class Prepared:
    """A model in memory, ready to be written.

    Attributes:
        module: TorchScript in evaluation mode; None where the network alone is to be compiled.
        facts: its metadata, complete.
        arguments: names of the inputs of `forward` without a default value.
        reports: the checks so far: signature, float type, accuracy, inputs.
        network: the network in Python, of which `module` was made; None where it is not known.
        descriptor: the descriptor whose values the network takes; None for other conventions.
        alone: the archive of `module` was loaded in a process of its own already.
        others: extra files of the archive that are not TorchML's, by name.
    """

    module: torch.jit.ScriptModule | None
    facts: ModelMetadata
    arguments: tuple[str, ...]
    reports: list[Check]
    network: EdgeModel | None = None
    descriptor: ExportedDescriptor | None = None
    alone: bool = False
    others: Mapping[str, bytes] = field(default_factory=dict)


def prepare(
    loaded: Loaded,
    facts: ModelMetadata | None = None,
    compress: Tolerance | None = None,
    descriptor: Path | None = None,
    *,
    scripting: bool = True,
) -> Prepared:
    """Script a network, or load an archive, and complete its metadata.

    Args:
        loaded: the model.
        facts: what the caller declares. Of a network in Python `convention` and `dtype` are
            choices: for which convention it is scripted (None: its own), and its float type (None:
            float64, because simulations profit from exact derivatives).
        compress: the largest errors of splines that replace radial functions; None: no splines.
        descriptor: file with the parameters of the model's descriptor.
        scripting: make TorchScript of a network; without it torch.jit.script is not called, unless
            the network holds TorchScript itself.

    Returns:
        The model in memory. Its reports may hold a check that failed.

    Raises:
        TorchMLError: the facts contradict each other, or one that is needed is missing.
        CheckFailed: the archive cannot be loaded.
        NoTorchScript: TorchScript cannot compile the network.
    """
    declared = facts or ModelMetadata()
    if loaded.model is None:
        part = _of_archive(loaded, declared, compress, descriptor)
    else:
        part = _of_network(loaded, declared, compress, descriptor, scripting)
    complete_facts = complete(part.facts, part.signature, loaded.path)
    reports = [
        *_of_origin(loaded.origin),
        *part.loading,
        Check("signature", "pass", _call(complete_facts, part.signature)),
        Check("dtype", "pass", f"{complete_facts.dtype}"),
        *part.accuracy,
    ]
    module = part.module
    if module is None and part.called is None:
        module = _torchscript(loaded.path, complete_facts.extensions or ())
    forward = part.called if module is None else module
    assert forward is not None
    if complete_facts.convention == "edges":
        scale = part.network.scale if isinstance(part.network, Sum | Committee) else None
        check, complete_facts = check_radial(forward, complete_facts, scale)
        reports.append(check)
    if part.descriptor:
        reports.append(check_width(forward, complete_facts, part.descriptor))
    return Prepared(
        module,
        complete_facts,
        part.signature.arguments,
        reports,
        part.network,
        part.descriptor,
        alone=loaded.model is None,
        others=loaded.others,
    )


def _of_origin(origin: Imported | None) -> list[Check]:
    """What the report says of a model of another package."""
    if origin is None:
        return []
    facts = [f"{key} {value}" for key, value in origin.provenance.items()]
    own = "its package's own calculator" if origin.calculator else "its energies before the trace"
    if origin.rounding is not None:
        own = "its package's modules in float64"
    rows = [
        Check("imported", "pass", ", ".join([*facts, _WAYS[origin.way]])),
        Check("against the original", "pass", f"{own}; {origin.parity}"),
    ]
    if origin.rounding is not None:
        text = f"its package's own in float32, against the same; {origin.rounding}"
        rows.append(Check("calculator", "pass", text))
    if origin.isolated:
        energies = [f"{symbol} {energy:.6g}" for symbol, energy in origin.isolated.items()]
        shown = " ".join(energies[:8]) + (" ..." if len(energies) > 8 else "")
        rows.append(Check("isolated atoms", "pass", f"{shown} eV, in the energies"))
    return rows + [Check("note", "pass", note) for note in origin.notes]


_WAYS = {
    "network": "its weights in a network of TorchML",
    "graph": "its own code traced to a graph",
    "torchscript": "its own code as TorchScript",
}


@dataclass(frozen=True)
class _Part:
    """What is known of a model before its metadata are complete."""

    facts: ModelMetadata
    signature: Signature
    descriptor: ExportedDescriptor | None
    module: torch.jit.ScriptModule | None = None
    called: Called | None = None
    network: EdgeModel | None = None
    loading: list[Check] = field(default_factory=list)
    accuracy: list[Check] = field(default_factory=list)


def _of_archive(
    loaded: Loaded, declared: ModelMetadata, compress: Tolerance | None, file: Path | None
) -> _Part:
    """Ask a process of its own for the signature: an archive may crash the one that reads it."""
    if compress:
        raise ModelError(
            f"{loaded.path} is a TorchScript archive, whose radial functions are not known; "
            "expected a checkpoint to compress"
        )
    facts, descriptor = _merged(loaded.path, loaded.facts, declared, file)
    check, signature = check_alone(loaded.path, facts.extensions or ())
    if signature is None:
        raise CheckFailed([check])
    return _Part(facts, signature, descriptor, loading=[check])


def _of_network(
    loaded: Loaded,
    declared: ModelMetadata,
    compress: Tolerance | None,
    file: Path | None,
    scripting: bool,
) -> _Part:
    """The network in its new float type, with splines where they are wanted; and as TorchScript."""
    convention = declared.convention or ("descriptor" if file else None)
    network: EdgeModel | None = None
    accuracy: list[Check] = []
    if isinstance(loaded.model, EdgeModel):
        network, accuracy = _converted(loaded.model, declared.dtype or "float64", compress)
        loaded = replace(loaded, model=network)
    elif compress:
        raise ModelError(
            f"{loaded.path} holds a network that takes staged graphs, whose radial functions are "
            "not known; expected a model of torchml.models to compress"
        )
    if network is not None and not (scripting or holds_torchscript(network)):
        called = Called(network, convention or network.convention).eval()
        facts, descriptor = _merged(
            loaded.path, describe(network, called.convention), declared, file
        )
        return _Part(facts, called.signature, descriptor, None, called, network, accuracy=accuracy)
    module, own = scripted(loaded, convention)
    module = module.eval()
    facts, descriptor = _merged(loaded.path, own, declared, file)
    return _Part(facts, Signature.of(module), descriptor, module, None, network, accuracy=accuracy)


def _converted(
    model: EdgeModel, dtype: str, compress: Tolerance | None
) -> tuple[EdgeModel, list[Check]]:
    """A copy in its new float type, and what splines and float32 cost, each on its own."""
    if isinstance(model, Sum):
        return _converted_sum(model, dtype, compress)
    if isinstance(model, Committee):
        return _converted_committee(model, dtype, compress)
    exact = cast(copy.deepcopy(model), "float64")
    network, checks = exact, []
    if compress and exact.for_simulation() is not exact:
        checks.append(Check("compression", "pass", "its radial functions are splines as it is"))
    elif compress:
        made, errors = compress_within(exact, compress)
        network = made.model
        checks.append(check_compression(made, errors, compress))
    if dtype == "float32" and network_dtype(exact) == torch.float64:
        network = cast(copy.deepcopy(network), dtype)
        network = network.for_simulation()
        checks.append(check_float32(errors_of(network, exact)))
    return network.for_simulation(), checks


def _converted_sum(
    total: Sum, dtype: str, compress: Tolerance | None
) -> tuple[EdgeModel, list[Check]]:
    """Convert each part on its own, in structures of the size of its own cutoff."""
    models: list[EdgeModel] = []
    checks: list[Check] = []
    fixed = network_dtype(total.models()[0])  # of a traced model; the others follow it
    if fixed == torch.float32:
        dtype = "float32"
    curves = [part for part in total.models() if has_radial_functions(part)] or total.models()[:1]
    for name, part in zip(total.names, total.models(), strict=True):
        splines = any(part is one for one in curves)
        network, reports = _converted(part, dtype, compress if splines else None)
        models.append(network)
        checks += [replace(report, name=f"{report.name}: {name}") for report in reports]
    return Sum(models, total.names).eval(), checks


def _converted_committee(
    committee: Committee, dtype: str, compress: Tolerance | None
) -> tuple[EdgeModel, list[Check]]:
    """Convert each member on its own."""
    models: list[EdgeModel] = []
    checks: list[Check] = []
    for name, member in zip(committee.names, committee.models(), strict=True):
        network, reports = _converted(member, dtype, compress)
        models.append(network)
        checks += [replace(report, name=f"{report.name}: {name}") for report in reports]
    return Committee(models, committee.names).eval(), checks


def _merged(
    path: Path, own: ModelMetadata, declared: ModelMetadata, file: Path | None
) -> tuple[ModelMetadata, ExportedDescriptor | None]:
    """The facts that the model, the caller and the descriptor declare together."""
    descriptor = find_descriptor(own, path, file)
    sources = [
        (f"the metadata of {path}", replace(own, descriptor_parameters=None)),
        ("the caller", declared),
    ]
    if descriptor:
        sources.append((f"the descriptor in {descriptor.source}", facts_of(descriptor)))
    return merge(*sources), descriptor


def _torchscript(path: Path, extensions: tuple[str, ...]) -> torch.jit.ScriptModule:
    load_extensions(extensions)
    # As the engine runs it: without dropout, with the averages of batch normalisation.
    return load_script(path).eval()


def _call(facts: ModelMetadata, signature: Signature) -> str:
    return f"{facts.convention}: ({', '.join(signature.arguments)})"
