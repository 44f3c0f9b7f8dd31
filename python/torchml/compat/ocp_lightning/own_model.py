"""A model of the user, as training, checkpoints and simulators take it.

Training builds the graph of the atoms of a batch. A simulator gives particles, of which some are
images (ghosts) of the atoms, and no structures: there the graph contains all of them, the images as
a second structure, whose energy is not used.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor

from torchml.compat.ocp_lightning.energy_models import AbstractEnergyModel, build
from torchml.compat.ocp_lightning.graph import Graph
from torchml.data.batch import GraphBatch, collate, make_sample
from torchml.data.configuration import Configuration
from torchml.data.graph import GraphBuilder
from torchml.errors import ModelError, TorchMLError
from torchml.models.base import float_type
from torchml.models.dtype import network_dtype
from torchml.models.staged import StagedModel

# Energies from the trace and from training agree to this share of their size.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


class Normalized(torch.nn.Module):
    """Energies of the elements of a structure + scale * model, in float64."""

    references: Tensor
    scale: Tensor

    def __init__(self, model: AbstractEnergyModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("references", torch.zeros(len(chemical_symbols), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, graph: Graph) -> Tensor:
        """Return the energies [G] (eV) of the structures of a graph."""
        references = self.references.index_select(0, graph.ndata["atomic_numbers"])
        output, expected = self.model(graph), (graph.batch_size, 1)
        if not isinstance(output, Tensor) or tuple(output.shape) != expected:
            shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ModelError(
                f"forward of {type(self.model).__name__} returned {shape}, expected energies "
                f"{list(expected)}"
            )
        return graph.pool(references) + self.scale * output.squeeze(1).to(torch.float64)


class OwnModel(StagedModel):
    """A subclass of AbstractEnergyModel, named by its class path.

    Args:
        species: chemical symbols of the elements.
        network: class path of the model, "module.Class".
        arguments: of the model.
        dtype: float type of the weights, float32 or float64.

    Raises:
        ModelError: there is no such class, or it is no energy model.
    """

    needs_script = False
    has_normalization = True
    network: Normalized

    def __init__(
        self,
        species: list[str],
        network: str,
        arguments: dict[str, Any] | None = None,
        dtype: str = "float32",
    ) -> None:
        # The base class would check the arguments of another kind of forward.
        torch.nn.Module.__init__(self)
        self.network = Normalized(build(network, arguments or {}).to(float_type(dtype)))
        self.species = list(species)
        self.cutoff = float(self.network.model.cutoff)
        self.layers = 1  # training needs the neighbours of the atoms alone
        self.species_input = "atomic_number"
        self.details = {"network": network, "arguments": json.dumps(arguments or {})}
        self._checked = False  # whether the energies depend on the positions
        self._trace: list[torch.jit.ScriptModule | ModelError] = []  # a list is no child

    @property
    def exported_layers(self) -> int:
        """Number of times that values pass along edges."""
        return int(self.network.model.layers)

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """Energy (eV) per unit of the output of the network."""
        return self.network.scale

    def set_normalization(self, references: Mapping[str, float], scale: float) -> None:
        """Set the energies of the elements (eV) by symbol, and the scale (eV)."""
        with torch.no_grad():
            self.network.scale.fill_(scale)
            for symbol, energy in references.items():
                self.network.references[atomic_numbers[symbol]] = energy

    def of_batch(self, batch: GraphBatch) -> Tensor:
        """Return the energies [G] (eV) of the structures of a batch.

        The coordinates of the images are constant displacements of those of the atoms, so that
        derivatives with respect to all of them add up to the forces on the atoms.
        """
        assert batch.coordinates is not None and batch.contributing is not None
        inside = batch.contributing % 2 == 0
        edges = batch.stages[0]
        edges = edges[:, inside.index_select(0, edges[1])]
        vectors = batch.coordinates.index_select(0, edges[0])
        vectors = vectors - batch.coordinates.index_select(0, edges[1])
        graph = Graph(
            {
                "pos": batch.coordinates[inside],
                "atomic_numbers": batch.species[inside],
                "tags": batch.tags,
                "fixed": (~batch.free).to(torch.int64),
            },
            batch.atom_of_node.index_select(0, edges.flatten()).view(2, -1),
            vectors,
            batch.configuration_of_atom,
            len(batch),
        )
        energies: Tensor = self.network(graph)
        if not self._checked and batch.coordinates.requires_grad and energies.requires_grad:
            self._check_forces(energies, batch.coordinates)
        return energies

    def _check_forces(self, energies: Tensor, coordinates: Tensor) -> None:
        """Raise ModelError if the energies of a first batch do not depend on the positions."""
        (slope,) = torch.autograd.grad(
            energies.sum(), [coordinates], allow_unused=True, retain_graph=True
        )
        if slope is None:
            raise ModelError(
                f"the energies of {self.details['network']} do not depend on the positions, so "
                "that there are no forces, expected a forward that uses distances or vectors of "
                "the graph"
            )
        self._checked = True

    def of_particles(
        self, numbers: Tensor, coordinates: Tensor, edges: Tensor, flag: Tensor
    ) -> Tensor:
        """Return the energy [1] (eV) of the particles whose flag is 0; others have 1."""
        vectors = coordinates.index_select(0, edges[0]) - coordinates.index_select(0, edges[1])
        fields = {"pos": coordinates, "atomic_numbers": numbers}
        graph = Graph(fields, edges, vectors, flag, 2, reason=", which no simulator has")
        energy: Tensor = self.network(graph)[:1]
        return energy

    def compiled(self) -> torch.jit.ScriptModule:
        """Return the network as a simulator calls it, traced once, with the weights of now.

        Raises:
            ModelError: it cannot be traced, or the trace has other energies for other structures.
        """
        if not self._trace:
            try:
                self._trace.append(self._traced())
            except ModelError as error:
                self._trace.append(error)
        trace = self._trace[0]
        if isinstance(trace, ModelError):
            raise trace
        trace.load_state_dict(self.network.state_dict())
        return trace

    def _traced(self) -> torch.jit.ScriptModule:
        name = self.details["network"]
        model = copy.deepcopy(self).cpu().eval()
        example, other = (_example(model, atoms) for atoms in (3, 5))
        wrapper = _wrapper(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                traced = torch.jit.trace(wrapper, _inputs(example), check_trace=False)
                found = traced(*_inputs(other, moved=0.3 * model.cutoff)).detach()
        except TorchMLError as error:
            raise ModelError(f"{name} cannot run in a simulator: {error}") from error
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{name} cannot be traced for a simulator: {reason}") from error
        with torch.no_grad():
            expected = model.of_batch(other)
        close = _TOLERANCE[network_dtype(model) or torch.float64]
        if not torch.allclose(found, expected, rtol=close, atol=close * float(self.scale)):
            raise ModelError(
                f"{name} has the energy {float(found):.6g} eV in a simulator where training has "
                f"{float(expected):.6g} eV: its attribute layers ({self.exported_layers}) must be "
                "the number of its passes along edges, energies must not depend on where an atom "
                "is, and forward must not turn tensors into numbers of Python"
            )
        module: torch.jit.ScriptModule = traced
        return module


def _wrapper(model: OwnModel) -> torch.nn.Module:
    """A module with the weights of the model, under its names, and the forward of the driver.

    Tracing compiles the properties of a module and those of its children, which a user's class
    need not survive: the wrapper has only their tensors.
    """
    stages = ", ".join(f"edge_index{k}" for k in range(model.exported_layers))
    last = f"edge_index{model.exported_layers - 1}"
    names: dict[str, Callable[..., Tensor]] = {}
    text = (
        f"def forward(self, z, coords, {stages}, contributing):\n"
        f"    return energy(z, coords, {last}, contributing)\n"
    )
    exec(text, {"energy": model.of_particles}, names)
    cls = type(model.network.model).__name__  # an exported model is named after its class
    root: torch.nn.Module = type(cls, (torch.nn.Module,), dict(names))()
    for name, tensor in _tensors(model.network):
        *path, leaf = name.split(".")
        parent = root
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, torch.nn.Module())
            parent = getattr(parent, part)
        if isinstance(tensor, torch.nn.Parameter):
            parent.register_parameter(leaf, tensor)
        else:
            parent.register_buffer(leaf, tensor)
    return root.eval()


def _tensors(network: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state by name, not copies of them as `state_dict` does."""
    stored = network.state_dict().keys()
    yield from network.named_parameters(remove_duplicate=False)
    for name, buffer in network.named_buffers(remove_duplicate=False):
        if name in stored:
            yield name, buffer


def _example(model: OwnModel, atoms: int) -> GraphBatch:
    """A wire of a few atoms: some of their neighbours are images."""
    generator = np.random.default_rng(atoms)
    step = 0.4 * model.cutoff
    places = np.arange(atoms)[:, None] * [step, 0.0, 0.0]
    numbers = [atomic_numbers[model.species[k % len(model.species)]] for k in range(atoms)]
    configuration = Configuration(
        numbers=np.array(numbers),
        positions=places + generator.uniform(-0.1, 0.1, (atoms, 3)) * model.cutoff,
        cell=np.diag([atoms * step, 0.0, 0.0]),
        pbc=np.array([True, False, False]),
    )
    builder = GraphBuilder(
        species=model.species,
        cutoff=model.cutoff,
        layers=model.exported_layers,
        kind="staged",
        dtype=network_dtype(model) or torch.float64,
        symmetric=True,
        atomic_numbers=True,
    )
    return collate([make_sample(configuration, builder(configuration), 0)])


def _inputs(batch: GraphBatch, moved: float = 0.0) -> tuple[Tensor, ...]:
    """The inputs of the driver, of a structure that is moved (Å)."""
    assert batch.coordinates is not None and batch.contributing is not None
    return (batch.species, batch.coordinates + moved, *batch.stages, batch.contributing)
