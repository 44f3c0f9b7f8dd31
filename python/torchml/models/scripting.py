"""Wrap an `EdgeModel` in the `forward` of a calling convention, as TorchScript.

The number of arguments of a staged-graph model depends on its number of layers, which a Python
function of fixed signature cannot express: the few lines of `forward` are written as text.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from torchml import _descriptors as core
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.calling import require_convention
from torchml.models.committee import Committee
from torchml.models.descriptor_potential import descriptor_potential, energies_of
from torchml.models.dtype import network_dtype
from torchml.models.sharing import compute_once

_NONE = """
def forward(self, species: Tensor, coords: Tensor, n_neigh: Tensor, nlist: Tensor,
            contributing: Tensor) -> Tensor:
    owners = torch.nonzero(contributing == 1).flatten()
    target = torch.repeat_interleave(owners, n_neigh.to(torch.int64))
    source = nlist.to(torch.int64)
    edge_index = torch.stack([source, target])
    edge_vectors = coords.index_select(0, source) - coords.index_select(0, target)
    n_nodes = coords.size(0)
    return self.model(species, edge_vectors, edge_index, [n_nodes, n_nodes], [source.size(0)])
"""

# The last stage contains all edges. Directed stages are prefixes of each other. Symmetric stages,
# which the driver passes to an archive without metadata, are not: all layers then take all edges.
_GRAPH = """
def forward(self, species: Tensor, coords: Tensor, {stages},
            contributing: Tensor) -> Tensor:
    edges = edge_index{last}
    edge_counts = [{edge_counts}]
    for stage in [{names}]:
        if not torch.equal(stage, edges[:, :stage.size(1)]):
            edge_counts = [edges.size(1)] * len(edge_counts)
    edge_vectors = coords.index_select(0, edges[0]) - coords.index_select(0, edges[1])
    n_nodes = coords.size(0)
    return self.model(species, edge_vectors, edges, [{node_counts}], edge_counts)
"""

_EDGES = """
def forward(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, contributing: Tensor,
            node_counts: List[int], edge_counts: List[int]) -> Tensor:
    return self.model(species, edge_vectors, edge_index, node_counts, edge_counts)
"""


_MEMBERS = """
def member_energies(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor,
                    contributing: Tensor, node_counts: List[int],
                    edge_counts: List[int]) -> List[Tensor]:
    return self.model.member_energies(species, edge_vectors, edge_index, node_counts, edge_counts)
"""


def script(model: EdgeModel, convention: str) -> torch.jit.ScriptModule:
    """Wrap a model in the `forward` of a calling convention, as TorchScript.

    Args:
        model: the model.
        convention: `none` passes one neighbour list and is for models of one layer. `graph` is
            correct for directed and symmetric stages, and faster for directed ones, which the
            metadata request (see `describe`). `edges` passes edge vectors. `descriptor` is for
            `DescriptorPotential` only, which has no other convention.

    Raises:
        TorchMLError: the model does not fit the convention.
    """
    require_convention(model, convention)
    if convention == "descriptor":
        with quiet_torchscript():
            energies: torch.jit.ScriptModule = torch.jit.script(energies_of(model))
        return energies
    source = _source(model, convention)

    # A new class for each call: torch stores methods that are defined from text with the class.
    class Wrapper(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.jit.script(model)
            self.define(source)
            if convention == "edges" and model.members:
                self.define(_MEMBERS)

    with quiet_torchscript():
        module = Wrapper()
        if any(isinstance(one, Committee) for one in model.modules()):
            has_members = convention == "edges" and model.members
            compute_once(module, ("forward", "member_energies") if has_members else ("forward",))
    return module


def describe(model: EdgeModel, convention: str) -> ModelMetadata:
    """Return the metadata for the archive of `script(model, convention)`."""
    exact = model.exact_distances
    facts = ModelMetadata(
        convention=convention,
        species=tuple(model.species),
        cutoff=model.cutoff,
        layers=model.layers,
        dtype=_dtype(model),
        shell_cutoffs=_shell_cutoffs(model) if convention == "edges" else None,
        input_dtype="float64" if exact and _dtype(model) == "float32" else None,
        species_input="code",
        stage_edges="directed" if convention == "graph" else None,
        returns_forces=False,
        members=model.members or None if convention == "edges" else None,
        radial=model.radial if convention == "edges" else None,
    )
    if convention != "descriptor":
        return facts
    parameters = descriptor_potential(model).descriptor.parameters.to_core()
    return replace(
        facts,
        descriptor=core.kind_name(parameters),
        descriptor_parameters=core.format_parameters(parameters),
    )


def _shell_cutoffs(model: EdgeModel) -> tuple[str, ...] | None:
    """The lengths as texts; None where they are all the cutoff."""
    lengths = model.shell_cutoffs()
    return tuple(map(repr, lengths)) if min(lengths) < model.cutoff else None


def _source(model: EdgeModel, convention: str) -> str:
    if convention == "edges":
        return _EDGES
    if convention == "graph":
        stages = range(model.layers)
        return _GRAPH.format(
            stages=", ".join(f"edge_index{k}: Tensor" for k in stages),
            names=", ".join(f"edge_index{k}" for k in stages),
            last=model.layers - 1,
            node_counts=", ".join(["n_nodes"] * (model.layers + 1)),
            edge_counts=", ".join(f"edge_index{k}.size(1)" for k in stages),
        )
    return _NONE


def _dtype(model: EdgeModel) -> str:
    dtype = network_dtype(model)
    if dtype is None:
        raise TorchMLError("the model has neither float parameters nor float buffers: no dtype")
    return str(dtype).removeprefix("torch.")
