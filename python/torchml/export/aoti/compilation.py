"""Models compiled ahead of time: energy and derivative as machine code, in a `.pt2` archive.

    archive --sample inputs--> graph of energy and derivative --AOTInductor--> .pt2 --metadata-->

    aoti.compile_archive("model.pt", "model.pt2")
    energy, derivative = aoti.load("model.pt2")(species, edge_vectors, edge_index, contributing)

The archive holds the model twice: compiled for one thread, and for several, where sums over edges
are made without atomics. Each call takes the one that fits the number of threads.

The sizes of all inputs are free. The graph is traced at two sets of sizes and must be the same:
so a size that the model turned into a constant is found, as NequIP does it
(C. W. Tan et al., arXiv:2504.16068).
"""

from __future__ import annotations

import importlib
import operator
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import torchml._core as core
from torchml import _descriptors
from torchml.contract import metadata
from torchml.contract.compiled_inputs import Input
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.contract.operators import load_extensions
from torchml.contract.signature import SHELL_COUNTS
from torchml.errors import TorchMLError
from torchml.export.aoti.segment_sums import sum_by_segments
from torchml.inference.compiled import PARALLEL, SERIAL
from torchml.models.base import EdgeModel, float_type
from torchml.models.descriptor_potential import energies_of

INSTRUCTION_SETS = ("avx2", "avx512", "native")

Energy = Callable[..., Any]  # called with the tensors of `Input`s


def compile_archive(
    archive: str | Path,
    output: str | Path,
    *,
    instruction_set: str | None = None,
    device: str = "cpu",
    model: EdgeModel | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ModelMetadata:
    """Compile the TorchScript archive at `archive`, which must carry its metadata, to `output`.

    Args:
        instruction_set: avx2 (any x86-64 processor since 2013, the default there), avx512, or
            native, the best of this machine; other architectures have native alone.
        device: cpu or cuda, for which the compiled model is.
        model: what `archive` was scripted from, compiled in its stead where that is possible: its
            Python code often allows what the conversion of TorchScript does not.
        progress: called with what is being done, before it is done.

    Returns:
        The metadata of the compiled archive.
    """
    archive, output = Path(archive), Path(output)
    facts = _facts_of(archive)
    _import_setuptools()
    target = _target(instruction_set)
    _require_compiler()
    if device == "cuda" and not torch.cuda.is_available():
        raise TorchMLError("device is 'cuda', but torch finds no GPU, expected one to compile for")
    load_extensions(facts.extensions or ())
    kind = str(core.Potential(str(archive)).energy_kind)
    with quiet_torchscript():
        module = torch.jit.load(str(archive), map_location=device).eval()
    schema = _schema(module)
    names = [one.name for one in schema if not one.has_default_value() or one.name in SHELL_COUNTS]
    inputs = _inputs_of(facts, names)

    progress("tracing")
    one, other = (_samples(inputs, facts, seed, device) for seed in (0, 1))

    def graph_of(energy: Energy) -> torch.fx.GraphModule:
        function = _with_derivative(energy, inputs, facts, kind)
        graph = _trace(function, one, archive)
        if graph.code != _trace(function, other, archive).code:
            raise TorchMLError(
                f"{archive.name} computes differently at other numbers of atoms and edges (a size "
                "has become a constant), expected a model whose operations follow the sizes"
            )
        # Found here, so that what cannot be exported is tried otherwise.
        _export(graph, inputs, one, archive)
        return graph

    with _quiet():
        graph = None
        if model is not None:
            # What Python's operations do not allow, those of TorchScript may.
            with suppress(TorchMLError):
                graph = graph_of(_of_model(model.to(device), inputs, facts))
        graph = graph or graph_of(_of_archive(module, inputs, one, archive))
        compiled = replace(
            facts,
            returns_forces=True,
            inputs=" ".join(map(str, inputs)),
            device=device,
            instruction_set=target.declared(),
            torch=torch.__version__.split("+")[0],
        )
        files = {}
        for variant in (SERIAL,) if device == "cuda" else (SERIAL, PARALLEL):
            progress(f"compiling for {target.name}, {variant}, which takes a minute or less")
            if variant == PARALLEL:
                sum_by_segments(graph)
            program = _export(graph, inputs, one, archive)
            files[variant] = _compile(program, one, target, variant, output)
        _package(files, output, compiled)
    return compiled


def _facts_of(archive: Path) -> ModelMetadata:
    facts = metadata.read(archive)
    if facts is None or facts.convention is None or facts.dtype is None:
        raise TorchMLError(f"{archive} has no metadata, expected an archive that TorchML exported")
    return facts


@dataclass(frozen=True)
class _Target:
    """An instruction set as inductor's configuration."""

    name: str
    config: Mapping[str, Any]

    def declared(self) -> str:
        """The words of the metadata key `instruction_set`."""
        from torch._inductor import config
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        if not self.config:
            return platform.machine()
        with config.patch(dict(self.config)):
            return str(pick_vec_isa()).lower()


_X86 = {
    "avx2": _Target("avx2", {"cpp.simdlen": 256, "cpp.march": "x86-64-v3"}),
    "avx512": _Target("avx512", {"cpp.simdlen": 512, "cpp.march": "x86-64-v4"}),
}


def _target(instruction_set: str | None) -> _Target:
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        if instruction_set not in (None, "native"):
            raise TorchMLError(
                f"the instruction set '{instruction_set}' is none of {machine}, expected native"
            )
        return _Target(machine, {})
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list

    here = {word for isa in valid_vec_isa_list() for word in str(isa).split()}
    name = instruction_set or "avx2"
    if name == "native":
        name = "avx512" if "avx512" in here else "avx2"
    if name not in _X86:
        raise TorchMLError(
            f"the instruction set is '{name}', expected {' | '.join(INSTRUCTION_SETS)}"
        )
    if name not in here:
        raise TorchMLError(
            f"this processor has no {name}, expected one that has what is compiled for"
        )
    return _X86[name]


def _import_setuptools() -> None:
    """What torch's compiler imports, and stumbles over in a process that has looked for pip."""
    try:
        importlib.import_module("setuptools")
    except AssertionError:  # pip brings the standard library's distutils back
        name = "SETUPTOOLS_USE_DISTUTILS"
        before = os.environ.get(name)
        os.environ[name] = "stdlib"
        try:
            importlib.import_module("setuptools")
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


def _require_compiler() -> None:
    if shutil.which(os.environ.get("CXX") or "g++") is None:
        raise TorchMLError(
            "no C++ compiler was found, expected g++ on the PATH (or CXX): models are compiled "
            "with it when they are exported, not when they run"
        )


def _inputs_of(facts: ModelMetadata, names: Sequence[str]) -> list[Input]:
    """The tensors in order, the lists of counts replaced by prefixes of those sizes."""
    dtype, layers = facts.input_dtype or facts.dtype or "", facts.layers or 1
    if facts.convention == "descriptor":
        width = _descriptors.Descriptor(
            _descriptors.parse_parameters(
                facts.descriptor_parameters or "", facts.descriptor or "", "the metadata"
            )
        ).width
        kinds = [(dtype, ("C", str(width))), ("int64", ("C",))]
    elif facts.convention == "none":
        kinds = [
            ("int64", ("N",)),
            (dtype, ("N", "3")),
            ("int32", ("C",)),
            ("int32", ("P",)),
            ("int64", ("N",)),
        ]
    elif facts.convention == "graph":
        stages = [("int64", ("2", f"E{k}")) for k in range(layers)]
        kinds = [("int64", ("N",)), (dtype, ("N", "3")), *stages, ("int64", ("N",))]
    else:
        kinds = [
            ("int64", ("M",)),
            (dtype, ("E", "3")),
            ("int64", ("2", "E")),
            ("int64", ("M",)),
        ]
    inputs = [Input(name, *kind) for name, kind in zip(names, kinds, strict=False)]
    for name in names[len(kinds) :]:
        counts, letter = (layers, "M") if name == "node_counts" else (layers - 1, "E")
        inputs += [Input(name, "int64", (f"{letter}{k}",)) for k in range(counts)]
    return inputs


def _samples(
    inputs: Sequence[Input], facts: ModelMetadata, seed: int, device: str
) -> tuple[Tensor, ...]:
    """Inputs that could be those of a system, and whose sizes all differ."""
    generator = torch.Generator().manual_seed(seed)
    # Distinct sizes, growing from shell to shell.
    step = 1 + seed
    nodes = [5 + 4 * step * k + 2 * seed for k in range((facts.layers or 1) + 1)]
    edges = [31 + 18 * step * k + 3 * seed for k in range(facts.layers or 1)]
    sizes = {"C": nodes[0], "N": nodes[-1], "M": nodes[-1], "P": edges[-1], "E": edges[-1]}
    sizes |= {f"M{k}": count for k, count in enumerate(nodes[:-1])}
    sizes |= {f"E{k}": count for k, count in enumerate(edges)}
    particles = sizes["C"] if facts.convention == "descriptor" else nodes[-1]
    code = core.atomic_number((facts.species or ("H",))[0])
    first = code if facts.species_input == "atomic_number" else 0

    sources, targets = [], []
    for k, count in enumerate(edges):
        new = count - (edges[k - 1] if k else 0)
        sources.append(torch.randint(0, nodes[k + 1], (new,), generator=generator))
        targets.append(torch.randint(0, nodes[k], (new,), generator=generator))
    index = torch.stack([torch.cat(sources), torch.cat(targets)])
    ghost = 0 if facts.convention == "none" else 1
    flags = torch.full((particles,), ghost)
    flags[: nodes[0]] = 1 - ghost

    def values(one: Input) -> Tensor:
        shape = [sizes.get(size) or int(size) for size in one.sizes]
        if one.dtype.startswith("float"):
            spread = facts.cutoff or 1.0
            return spread * torch.rand(shape, generator=generator, dtype=float_type(one.dtype))
        if one.name == "contributing":
            return flags
        if len(shape) == 2:
            return index[:, : shape[1]].contiguous()
        if one.name == "node_counts":
            return flags[: shape[0]]
        if one.name == "edge_counts":
            return index[0, : shape[0]]
        if one.sizes == ("P",):
            return index[0, : shape[0]].to(torch.int32)
        if one.dtype == "int32":  # n_neigh
            counts = torch.zeros(shape[0], dtype=torch.int32)
            counts[0] = sizes["P"]
            return counts
        return torch.full((particles,), first)

    made: dict[str, Tensor] = {}
    tensors = []
    for one in inputs:
        # A prefix shares the memory of the whole, as in the engine.
        made[str(one)] = values(one).to(device)
        tensors.append(made[str(one)])
    return tuple(tensors)


def _by_name(inputs: Sequence[Input], tensors: Sequence[Any]) -> dict[str, Any]:
    """Forward's arguments, counts as lists."""
    named: dict[str, Any] = {}
    for one, tensor in zip(inputs, tensors, strict=True):
        if one.name in SHELL_COUNTS:
            named.setdefault(one.name, []).append(tensor.size(0))
        else:
            named[one.name] = tensor
    return named


def _of_model(model: EdgeModel, inputs: Sequence[Input], facts: ModelMetadata) -> Energy:
    """The energy of a model in Python, called as `facts.convention` says."""
    model = model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if facts.convention == "descriptor":
        energies = energies_of(model).eval()
        return lambda *tensors: energies(*tensors)
    layers = facts.layers or 1

    def energy(*tensors: Any) -> Any:
        if facts.convention == "edges":
            given = _by_name(inputs, tensors)
            species, vectors = tensors[0], tensors[1]
            node_counts = [*given.get("node_counts", []), species.size(0)]
            edge_counts = [*given.get("edge_counts", []), vectors.size(0)]
            return model(species, vectors, tensors[2], node_counts, edge_counts)
        if facts.convention == "graph":
            species, coords, *stages, _ = tensors
            edges = stages[-1]
            counts = [stage.size(1) for stage in stages]
        else:
            species, coords, n_neigh, nlist, contributing = tensors
            # The contributing ones first, in their order: no size depends on the flags.
            owners = torch.argsort(contributing != 1, stable=True)[: n_neigh.size(0)]
            target = torch.repeat_interleave(
                owners, n_neigh.to(torch.int64), output_size=nlist.size(0)
            )
            edges = torch.stack([nlist.to(torch.int64), target])
            counts = [nlist.size(0)]
        vectors = coords.index_select(0, edges[0]) - coords.index_select(0, edges[1])
        return model(species, vectors, edges, [coords.size(0)] * (layers + 1), counts)

    return energy


def _schema(module: torch.jit.ScriptModule) -> list[Any]:
    """Forward's arguments without self."""
    return list(module.forward.schema.arguments)[1:]  # type: ignore[attr-defined]


_SIZE_OPERATIONS = {
    torch.ops.aten.add.int: operator.add,
    torch.ops.aten.sub.int: operator.sub,
    torch.ops.aten.mul.int: operator.mul,
    torch.ops.aten.neg.int: operator.neg,
    torch.ops.aten.floordiv.int: operator.floordiv,
}


def _of_archive(
    module: torch.jit.ScriptModule, inputs: Sequence[Input], sample: Sequence[Tensor], path: Path
) -> Energy:
    """The energy of a TorchScript module as a graph that follows the sizes of its inputs."""
    from torch._export.converter import TS2EPConverter

    arguments = [f"a{k}" for k in range(len(inputs))]
    lists = {
        name: [f"{a}.size(0)" for a, one in zip(arguments, inputs, strict=True) if one.name == name]
        for name in SHELL_COUNTS
    }
    lists["node_counts"].append("a0.size(0)")
    lists["edge_counts"].append("a1.size(0)")
    places = {one.name: a for a, one in zip(arguments, inputs, strict=True)}
    handed = [
        f"[{', '.join(lists[one.name])}]" if one.name in SHELL_COUNTS else places[one.name]
        for one in _schema(module)
        if one.name in SHELL_COUNTS or one.name in places
    ]
    source = (
        f"def forward(self, {', '.join(f'{a}: Tensor' for a in arguments)}):\n"
        f"    return self.inner({', '.join(handed)})\n"
    )

    class Flat(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.define(source)

    kept: list[torch.fx.GraphModule] = []

    class Converter(TS2EPConverter):
        def retrace_as_exported_program(self, gm: torch.fx.GraphModule, _: Any) -> Any:
            # Tracing here would turn sizes into constants; ours comes later.
            kept.append(gm)
            raise _Kept

    try:
        with quiet_torchscript():
            Converter(Flat(), tuple(sample)).convert()
    except _Kept:
        pass
    except Exception as error:
        raise _refusal(path, "its TorchScript cannot be converted", error) from None
    graph = kept[0]
    for node in graph.graph.nodes:
        node.target = _SIZE_OPERATIONS.get(node.target, node.target)
    graph.recompile()
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    return graph


class _Kept(Exception):
    """The graph has been taken."""


def _refusal(path: Path, what: str, error: Exception) -> TorchMLError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return TorchMLError(
        f"{path.name} cannot be compiled: {what} ({reason}), expected torch operations whose sizes "
        "do not depend on values, and no autograd inside; the format torchscript has no such limits"
    )


def _with_derivative(
    energy: Energy, inputs: Sequence[Input], facts: ModelMetadata, kind: str
) -> Callable[..., tuple[Tensor, Tensor]]:
    """(energy, derivative of the contributing energy), as the conventions define it."""
    place = 0 if facts.convention == "descriptor" else 1
    sign = -1.0 if facts.convention in ("none", "graph") else 1.0
    flag = 1 if facts.convention == "none" else 0
    flags = next((k for k, one in enumerate(inputs) if one.name == "contributing"), None)

    def function(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        if facts.returns_forces:
            energies, derivative = energy(*tensors)
            return energies, derivative
        leaf = tensors[place].detach().requires_grad_(True)
        energies = energy(*tensors[:place], leaf, *tensors[place + 1 :])
        counted = energies.squeeze(1) if energies.dim() == 2 else energies
        if kind == "per_particle" and flags is not None:
            counted = torch.where(tensors[flags] == flag, counted, torch.zeros_like(counted))
        total = counted.sum()
        if not total.requires_grad:
            return energies, torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True, materialize_grads=True)
        return energies, gradient if sign > 0 else -gradient

    return function


def _trace(
    function: Callable[..., Any], sample: tuple[Tensor, ...], path: Path
) -> torch.fx.GraphModule:
    import torch.fx.experimental._config as symbols
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        with symbols.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            graph = make_fx(
                function,
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
                _error_on_data_dependent_ops=True,
            )(*sample)
    except Exception as error:
        raise _refusal(path, "it cannot be traced", error) from None
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _export(
    graph: torch.fx.GraphModule, inputs: Sequence[Input], sample: tuple[Tensor, ...], path: Path
) -> Any:
    import torch.fx.experimental._config as symbols

    names = {size for one in inputs for size in one.sizes if not size.isdigit()}
    free = {name: torch.export.Dim(name, min=2) for name in sorted(names)}
    shapes = tuple(
        {axis: free[size] for axis, size in enumerate(one.sizes) if size in free} for one in inputs
    )
    try:
        with symbols.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            return torch.export.export(graph, sample, dynamic_shapes=shapes)
    except Exception as error:
        raise _refusal(path, "its sizes are not free", error) from None


_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    # Without OpenMP: sums over edges are fused with what makes their terms.
    SERIAL: {"cpp.threads": 1, "cpp.dynamic_threads": False},
    PARALLEL: {"cpp.dynamic_threads": True},
}


def _compile(
    program: Any, sample: tuple[Tensor, ...], target: _Target, variant: str, output: Path
) -> list[str]:
    """The files of one variant."""
    options = {
        **target.config,
        **_VARIANTS[variant],
        "aot_inductor.package": True,
        # Columns that are joined are stored: as a function they are computed anew for each use.
        "max_pointwise_cat_inputs": 0,
    }
    try:
        with _threads(os.cpu_count() or 1):
            files: Any = torch._inductor.aot_compile(
                program.module(check_guards=False), sample, options=options
            )
    except Exception as error:
        raise _refusal(output, "the compiler stopped", error) from None
    return list(files)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The compiler asks torch for the number of threads to plan for, not the environment."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _package(files: Mapping[str, list[str]], output: Path, facts: ModelMetadata) -> None:
    from torch.export.pt2_archive._package import package_pt2

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        temporary = Path(scratch) / output.name
        package_pt2(
            str(temporary),
            aoti_files={name: list(some) for name, some in files.items()},
            extra_files=facts.to_extra_files(),
        )
        os.replace(temporary, output)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says about its own inner workings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
