"""Models compiled ahead of time: energy and derivative as machine code, in a `.pt2` archive.

    model --sample inputs--> graph of energy and derivative --AOTInductor--> .pt2 --metadata-->

    aoti.compile_archive("model.pt", "model.pt2")
    energy, derivative = aoti.load("model.pt2")(species, edge_vectors, edge_index, contributing)

The archive holds the model twice: compiled for one thread, and for several, where sums over edges
are made without atomics. Each call takes the one that fits the number of threads. In float64 it
also holds the energy alone, which costs less where no forces are asked for. In float32 the last
digits of such an energy would show what else was asked for.

The sizes of all inputs are free. The graph is traced at two sets of sizes and must be the same:
so a size that the model turned into a constant is found, as NequIP does it
(C. W. Tan et al., arXiv:2504.16068).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import torchml._core as core
from torchml.contract import metadata
from torchml.contract.compiled_inputs import Input
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.contract.operators import load_extensions
from torchml.contract.signature import SHELL_COUNTS
from torchml.contract.torchscript import load_script
from torchml.errors import ModelError, TorchMLError
from torchml.export.aoti.energy import (
    Energy,
    energy_alone,
    energy_of_network,
    energy_of_torchscript,
    with_derivative,
)
from torchml.export.aoti.inputs import inputs_of, schema_of
from torchml.export.aoti.packaging import compile_variant, package
from torchml.export.aoti.samples import samples_of
from torchml.export.aoti.segment_sums import sum_by_segments
from torchml.export.aoti.target import import_setuptools, require_compiler, target_of
from torchml.export.aoti.tracing import free_sizes, quiet_compiler, trace
from torchml.inference.compiled import ENERGY, PARALLEL, SERIAL
from torchml.models.base import EdgeModel
from torchml.models.calling import Called
from torchml.models.summed import Sum


def compile_archive(
    archive: str | Path,
    output: str | Path,
    *,
    instruction_set: str | None = None,
    device: str = "cpu",
    model: EdgeModel | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ModelMetadata:
    """Compile a TorchScript archive, which must carry its metadata.

    Args:
        archive: the TorchScript archive.
        output: the compiled archive to write, `.pt2`.
        instruction_set: avx2 (any x86-64 processor since 2013, the default there), avx512, or
            native, the best of this machine; other architectures have native alone.
        device: cpu or cuda, for which the model is compiled.
        model: the network that `archive` was scripted from. It is compiled instead of the archive
            where that is possible: Python code often allows what the conversion of TorchScript
            does not.
        progress: called with the name of each step before it starts.

    Returns:
        The metadata of the compiled archive.

    Raises:
        TorchMLError: there are no metadata, no compiler or no GPU, or the model cannot be compiled.
    """
    archive = Path(archive)
    facts = metadata.read(archive)
    if facts is None or facts.convention is None or facts.dtype is None:
        raise ModelError(f"{archive} has no metadata, expected an archive that TorchML exported")
    load_extensions(facts.extensions or ())
    return compile_module(
        load_script(archive).eval(),
        facts,
        Path(output),
        name=archive.name,
        energy_kind=str(core.Potential(str(archive)).energy_kind),
        instruction_set=instruction_set,
        device=device,
        network=model,
        progress=progress,
    )


def compile_module(
    module: torch.jit.ScriptModule | None,
    facts: ModelMetadata,
    output: Path,
    *,
    name: str,
    energy_kind: str = "per_particle",
    instruction_set: str | None = None,
    device: str = "cpu",
    network: EdgeModel | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ModelMetadata:
    """Compile a model that lies in memory: a network, or TorchScript.

    Args:
        module: the model as TorchScript, in evaluation mode; None where there is a network.
        facts: its metadata, complete.
        output: the compiled archive to write, `.pt2`.
        name: of the model, for errors.
        energy_kind: what the TorchScript returns as energy: total, per_contributing or
            per_particle.
        instruction_set, device, progress: as for `compile_archive`.
        network: the model as a network in Python. TorchScript of it is compiled only where the
            network itself cannot be.

    Returns:
        The metadata of the compiled archive.
    """
    import_setuptools()
    require_compiler()
    target = target_of(instruction_set)
    if device == "cuda" and not torch.cuda.is_available():
        raise TorchMLError("device is 'cuda', but torch finds no GPU, expected one to compile for")
    if network is not None:
        _require_fixed_sizes(network, name)
    progress("tracing")
    with quiet_compiler():
        graphs = _graphs_of(module, network, facts, name, energy_kind, device)
        samples = samples_of(graphs.inputs, facts, 0, device)
        compiled = replace(
            facts,
            returns_forces=True,
            members=None,  # no function of the archive shows them
            inputs=" ".join(map(str, graphs.inputs)),
            device=device,
            instruction_set=target.declared(),
            torch=torch.__version__.split("+")[0],
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            files = {}
            for variant, graph in graphs.of_variants(device).items():
                progress(f"compiling for {target.name}, {variant}, which can take minutes")
                if variant != SERIAL and device == "cpu":
                    sum_by_segments(graph)
                program = free_sizes(graph, graphs.inputs, samples, name)
                files[variant] = compile_variant(
                    program, samples, target, variant, output.name, Path(scratch) / variant
                )
            package(files, output, compiled)
    return compiled


@dataclass(frozen=True)
class Graphs:
    """A model as graphs of torch operations.

    Attributes:
        inputs: what all take.
        derivative: energy and derivative.
        energy: the energy alone; None in float32.
    """

    inputs: Sequence[Input]
    derivative: torch.fx.GraphModule
    energy: torch.fx.GraphModule | None

    def of_variants(self, device: str) -> dict[str, torch.fx.GraphModule]:
        """What the archive will hold, in the order of compilation."""
        variants = {SERIAL: self.derivative}
        if device == "cpu":
            variants[PARALLEL] = self.derivative
        if self.energy is not None:
            variants[ENERGY] = self.energy
        return variants


def graphs_of_network(
    network: EdgeModel, facts: ModelMetadata, name: str, device: str = "cpu"
) -> Graphs:
    """The graphs of a network in Python.

    Args:
        network: the model, which is moved to the device.
        facts: its metadata, complete.
        name: of the model, for errors.
        device: cpu or cuda.

    Raises:
        ModelError: torch cannot trace the network, or a size would be a constant.
    """
    called = Called(network, facts.convention or "").to(device)
    inputs = inputs_of(facts, called.argument_names)
    energy = energy_of_network(called, inputs)
    kind = "per_contributing" if facts.convention == "descriptor" else "per_particle"
    return _traced(energy, inputs, facts, kind, device, name)


def _graphs_of_torchscript(
    module: torch.jit.ScriptModule,
    facts: ModelMetadata,
    name: str,
    energy_kind: str,
    device: str,
) -> Graphs:
    """The same of TorchScript."""
    inputs = inputs_of(facts, _input_names(module))
    sample = samples_of(inputs, facts, 0, device)
    energy = energy_of_torchscript(_on_device(module, device), inputs, sample, name)
    return _traced(energy, inputs, facts, energy_kind, device, name)


def _graphs_of(
    module: torch.jit.ScriptModule | None,
    network: EdgeModel | None,
    facts: ModelMetadata,
    name: str,
    energy_kind: str,
    device: str,
) -> Graphs:
    """Those of the network; what Python's operations do not allow, TorchScript's may."""
    refused: TorchMLError | None = None
    if network is not None:
        try:
            return graphs_of_network(network, facts, name, device)
        except TorchMLError as error:
            refused = error
    if module is not None:
        try:
            return _graphs_of_torchscript(module, facts, name, energy_kind, device)
        except TorchMLError as error:
            raise refused or error from None
    raise refused or TorchMLError(f"{name} is neither a network nor TorchScript")


def _require_fixed_sizes(network: EdgeModel, name: str) -> None:
    """Refuse a network whose sizes depend on the positions; a sum takes all edges instead."""
    for one in network.modules():
        if isinstance(one, EdgeModel) and one.varying:
            raise ModelError(
                f"{name} cannot be compiled ahead of time: the number of its {one.varying} depends "
                "on the positions, expected a model whose sizes follow from the numbers of atoms "
                "and edges; the format torchscript has no such limit"
            )
        if isinstance(one, Sum):
            one.take_all_edges()


def _input_names(module: torch.jit.ScriptModule) -> list[str]:
    """Inputs without a default value, and the counts of the convention `edges`."""
    return [
        one.name
        for one in schema_of(module)
        if not one.has_default_value() or one.name in SHELL_COUNTS
    ]


def _traced(
    energy: Energy,
    inputs: Sequence[Input],
    facts: ModelMetadata,
    energy_kind: str,
    device: str,
    name: str,
) -> Graphs:
    """Trace a function; the graph must be the same at two sets of sizes."""
    samples = [samples_of(inputs, facts, seed, device) for seed in (0, 1)]
    function = with_derivative(energy, inputs, facts, energy_kind)
    graph, other = (trace(function, sample, name) for sample in samples)
    if graph.code != other.code:
        raise ModelError(
            f"{name} computes differently at other numbers of atoms and edges (a size "
            "has become a constant), expected a model whose operations follow the sizes"
        )
    # Tried here: what cannot be exported is then traced from the TorchScript.
    free_sizes(graph, inputs, samples[0], name)
    if facts.dtype != "float64":
        return Graphs(inputs, graph, None)
    return Graphs(inputs, graph, trace(energy_alone(energy, facts), samples[0], name))


def _on_device(module: torch.jit.ScriptModule, device: str) -> torch.jit.ScriptModule:
    """The module on a device, constants included, which `Module.to` leaves where they are."""
    if device == "cpu":
        return module
    buffer = io.BytesIO()
    with quiet_torchscript():
        torch.jit.save(module, buffer)
    return load_script(buffer.getvalue(), device=device).eval()
