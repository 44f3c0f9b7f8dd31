"""Energies, forces and stress of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

import torchml._core  # registers the operators  # noqa: F401
from torchml.data.batch import GraphBatch
from torchml.models.base import EdgeModel
from torchml.models.staged import StagedModel
from torchml.voigt import COLUMNS, ROWS


@dataclass(eq=False)
class Prediction:
    """Predictions for a batch of G configurations with A atoms; None if not requested.

    energy         f64[G], eV
    forces         float[A, 3], eV/Å
    stress         float[G, 6], eV/Å³, xx yy zz yz xz xy; NaN where the cell has no volume
    atom_energies  float[A], eV; None where the model returns one energy per configuration
    targets        further targets by name (see `heads`)
    """

    energy: Tensor
    forces: Tensor | None = None
    stress: Tensor | None = None
    atom_energies: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)


def predict(
    model: EdgeModel | StagedModel,
    batch: GraphBatch,
    *,
    forces: bool = True,
    stress: bool = False,
    create_graph: bool = False,
) -> Prediction:
    """Evaluate the model on a batch.

    Args:
        model: the potential.
        batch: graphs of G configurations.
        forces: also compute forces.
        stress: also compute the stress.
        create_graph: keep the graph for the derivative of a force loss.
    """
    if not (forces or stress):
        return _energies(model, batch)
    with torch.inference_mode(False), torch.enable_grad():
        if batch.edge_vectors.is_inference():
            batch = batch.clone()  # made in Lightning's inference mode, where gradients are unknown
        prediction = _with_gradients(model, batch, forces, stress, create_graph)
    if not create_graph:
        prediction.energy = prediction.energy.detach()
    return prediction


def _with_gradients(
    model: EdgeModel | StagedModel,
    batch: GraphBatch,
    forces: bool,
    stress: bool,
    create_graph: bool,
) -> Prediction:
    """Forces and stress from the derivatives with respect to edge vectors or coordinates.

    Both are sums over rows of x and g = dE/dx: of edges, that belong to their source and target,
    or of nodes. A strain e moves each x by e x, so dE/de is the sum of x (x) g.
    """
    staged = isinstance(model, StagedModel)
    rows = batch.coordinates if staged else batch.edge_vectors
    assert rows is not None
    rows = rows.detach().requires_grad_()
    batch = replace(batch, coordinates=rows) if staged else replace(batch, edge_vectors=rows)
    prediction = _energies(model, batch)
    (gradient,) = torch.autograd.grad(prediction.energy.sum(), rows, create_graph=create_graph)
    if staged:
        atoms = batch.atom_of_node
    else:
        source, atoms = batch.atom_of_node.index_select(0, batch.edge_index.flatten()).view(2, -1)
    if forces:
        sums = torch.ops.torchml.segment_sum(gradient, atoms, batch.n_atoms)
        # An edge vector is x[source] - x[target].
        prediction.forces = (
            -sums
            if staged
            else sums - torch.ops.torchml.segment_sum(gradient, source, batch.n_atoms)
        )
    if stress:
        x, g = rows.detach(), gradient
        virial = 0.5 * (x[:, ROWS] * g[:, COLUMNS] + x[:, COLUMNS] * g[:, ROWS])
        owners = batch.configuration_of_atom.index_select(0, atoms)
        total = virial.new_zeros(len(batch), 6).index_add(0, owners, virial)
        volumes = batch.volumes.to(virial.dtype).unsqueeze(1)
        there = torch.isfinite(volumes)  # NaN must not reach the gradients of the others
        value = total / torch.where(there, volumes, torch.ones_like(volumes))
        prediction.stress = torch.where(there, value, torch.full_like(value, torch.nan))
    return prediction


def _energies(model: EdgeModel | StagedModel, batch: GraphBatch) -> Prediction:
    if isinstance(model, StagedModel):
        return _staged_energies(batch, model.of_batch(batch))
    energies = model(
        batch.species,
        batch.edge_vectors,
        batch.edge_index,
        batch.node_counts,
        batch.edge_counts,
    )[: batch.n_atoms]
    return Prediction(_total(batch, energies), atom_energies=energies.detach())


def _staged_energies(batch: GraphBatch, output: Tensor) -> Prediction:
    """The output is one energy per configuration, per atom, or per node."""
    output = output.flatten()
    if len(output) == len(batch):
        return Prediction(output.to(torch.float64))
    if len(output) == len(batch.species):
        assert batch.contributing is not None
        output = output[batch.contributing % 2 == 0]
    if len(output) != batch.n_atoms:
        raise ValueError(
            f"the model returned {len(output)} energies for {len(batch)} configurations with "
            f"{batch.n_atoms} atoms and {len(batch.species)} nodes, expected one of these numbers"
        )
    return Prediction(_total(batch, output), atom_energies=output.detach())


def _total(batch: GraphBatch, energies: Tensor) -> Tensor:
    total = torch.zeros(len(batch), dtype=torch.float64, device=energies.device)
    return total.index_add(0, batch.configuration_of_atom, energies.to(torch.float64))
