"""The posterior of the last, linear layer of a trained potential, from its training data.

Energies and forces are linear in the weights of the last layer: with the features before it, the
rows f of the data give the precision of the weights::

    precision  = r sum_energies f f^T + sum_forces f f^T + prior
    covariance = s precision^-1

as in Bayesian linear regression (C. M. Bishop, Pattern Recognition and Machine Learning, sec. 3.3),
for the last layer of a network (F. Bigi et al., Mach. Learn.: Sci. Technol. 5, 045018 (2024)). The
numbers r and s are such that both energies and forces of the validation data have the errors that
their variances say: the mean squares of forces agree, and the median ratio of energies, which are
few, is that of normal errors, so that one that is far off decides nothing.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from torchml.data.batch import GraphBatch
from torchml.data.dataset import GraphDataset
from torchml.data.progress import track
from torchml.errors import TorchMLError
from torchml.models.posterior import Posterior
from torchml.models.scaled import Scaled

# The forces of a configuration enter by their components along so many random directions in the
# space of all its coordinates. These have the mean square of all components.
_DIRECTIONS = 8
_STEP = 1e-4  # Å, of differences along the directions
# The prior, in parts of the mean precision: it bounds weights on which no datum depends.
_PRIOR = 1e-6
_LARGEST_RATIO = 1e4  # of the weights of energies and forces, by the sizes of their errors
_MEDIAN = 0.454936  # of the square of a normal number of variance one


@dataclass(frozen=True)
class Equations:
    """Linear equations for changes of the last weights.

    Attributes:
        inputs: [n, P], eV or eV/Å.
        errors: what the model lacks to the labels, [n].
        components: how many numbers the squares of all errors together stand for.
        few: the median decides on the scale of the variances, not the mean.
    """

    inputs: Tensor
    errors: Tensor
    components: int
    few: bool = False

    def gram(self) -> Tensor:
        """Return the precision for errors of one, in units of the mean square error: [P, P]."""
        return self.inputs.T @ self.inputs / self.errors.square().mean().clamp(min=1e-30)

    def scale(self, covariance: Tensor) -> float:
        """Return by what the variances must be multiplied to be those of the errors."""
        squares, variances = self.errors.square(), self.variances(covariance)
        if self.few:
            return float((squares / variances.clamp(min=1e-30)).quantile(0.5)) / _MEDIAN
        return float(squares.mean() / variances.mean())

    def variances(self, covariance: Tensor) -> Tensor:
        """Return those of what the errors are of, [n]."""
        return torch.einsum("np,pq,nq->n", self.inputs, covariance, self.inputs)

    @property
    def error(self) -> float:
        """The root mean square error of a component."""
        return math.sqrt(float(self.errors.square().sum()) / self.components)

    def deviation(self, covariance: Tensor) -> float:
        """Return the root mean square deviation of a component."""
        return math.sqrt(float(self.variances(covariance).sum()) / self.components)


@dataclass(frozen=True)
class Data:
    """Equations of energies per atom (eV) and of forces (eV/Å); None where there are no labels."""

    energies: Equations | None
    forces: Equations | None


@dataclass(frozen=True)
class Fit:
    """The posterior of the last weights.

    Attributes:
        covariance: float64[P, P].
        train: what it comes from.
        val: what it is calibrated on.
    """

    covariance: Tensor
    train: Data
    val: Data


def equations(model: Scaled, data: GraphDataset) -> Data:
    """Return the equations of all energies and of some directions of the forces.

    Args:
        model: a potential in float64 whose network has a last, linear layer.
        data: its graphs, in float64.
    """
    generator = torch.Generator().manual_seed(0)
    energies: list[Tensor] = []
    forces: list[Tensor] = []
    components = 0
    for k in track(range(len(data)), "posterior", len(data)):
        batch = data[[k]]
        if bool(batch.energy.isfinite()):
            row = _summed(model, batch, batch.edge_vectors)
            row[-1] = batch.energy - row[-1]
            energies.append(batch.energy_weight.sqrt() * row / batch.n_atoms)
        if bool(batch.forces.isfinite().all()):
            components += 3 * _DIRECTIONS * int(batch.free.sum())
            weight = batch.forces_weight.sqrt()
            forces += [weight * _along(model, batch, generator) for _ in range(_DIRECTIONS)]
    return Data(_stacked(energies, len(energies), few=True), _stacked(forces, components))


def fit(train: Data, val: Data) -> Fit:
    """Return the posterior that the training data give, calibrated on the validation data.

    Raises:
        TorchMLError: neither energies nor forces are in both.
    """
    pairs = ((train.energies, val.energies), (train.forces, val.forces))
    kinds = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not kinds:
        raise TorchMLError(
            "neither energies nor forces are labels of both training and validation data, expected "
            "data.val, or data.split, to calibrate the uncertainty"
        )
    grams = [one.gram() for one, _ in kinds]
    checks = [other for _, other in kinds]
    covariance = _inverse(grams[0]) if len(kinds) == 1 else _balanced(grams, checks)
    return Fit(covariance * checks[-1].scale(covariance), train, val)


def with_members(model: Scaled, covariance: Tensor, members: int, seed: int = 0) -> Scaled:
    """Return the potential with members drawn from the posterior, in its own float type.

    Args:
        model: the potential.
        covariance: of its last weights, [P, P].
        members: how many.
        seed: of the draws.
    """
    posterior = Posterior(copy.deepcopy(model.network), members)
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(len(covariance), members, generator=generator, dtype=torch.float64)
    draws = torch.linalg.cholesky(covariance) @ normal
    posterior.draws.copy_(draws - draws.mean(1, keepdim=True))
    result = Scaled(posterior)
    result.scale.copy_(model.scale)
    result.references.copy_(model.references)
    return result.eval()


def _balanced(grams: list[Tensor], val: list[Equations]) -> Tensor:
    """Bisect the weight of the energies until both kinds need the same scale.

    The more weight, the smaller are the variances of energies beside those of forces. Where the
    scales differ for all weights within the limits, the nearer limit is taken.
    """
    upper = math.log(_LARGEST_RATIO)
    lower = -upper
    for _ in range(40):
        middle = 0.5 * (lower + upper)
        covariance = _inverse(math.exp(middle) * grams[0] + grams[1])
        if val[0].scale(covariance) < val[1].scale(covariance):
            lower = middle
        else:
            upper = middle
    return covariance


def _inverse(gram: Tensor) -> Tensor:
    prior = _PRIOR * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.cholesky_inverse(torch.linalg.cholesky(gram + prior))


@torch.no_grad()
def _summed(model: Scaled, batch: GraphBatch, vectors: Tensor) -> Tensor:
    """Derivatives of the total energy by the last weights, and the energy: [P + 1], eV."""
    graph = (batch.species, vectors, batch.edge_index, batch.node_counts, batch.edge_counts)
    inputs = model.scale * model.network.last_inputs(*graph).sum(0)
    return torch.cat([inputs, model(*graph)[: batch.n_atoms].sum().unsqueeze(0)])


def _along(model: Scaled, batch: GraphBatch, generator: torch.Generator) -> Tensor:
    """Derivatives of a random component of the forces, and its error: [P + 1], eV/Å."""
    direction = torch.randn(batch.n_atoms, 3, generator=generator, dtype=torch.float64)
    direction *= batch.free.unsqueeze(1)
    of_nodes = direction.index_select(0, batch.atom_of_node)
    source, target = batch.edge_index
    step = _STEP * (of_nodes.index_select(0, source) - of_nodes.index_select(0, target))
    before, after = (_summed(model, batch, batch.edge_vectors + sign * step) for sign in (-1, 1))
    row = (before - after) / (2.0 * _STEP)
    row[-1] = (direction * batch.forces).sum() - row[-1]
    return row


def _stacked(rows: list[Tensor], components: int, few: bool = False) -> Equations | None:
    if not rows:
        return None
    all_rows = torch.stack(rows)
    return Equations(all_rows[:, :-1], all_rows[:, -1], components, few)
