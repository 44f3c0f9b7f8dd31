"""Base classes of the potentials of this package: functions of edge vectors."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

import torchml._core as core
from torchml.errors import TorchMLError
from torchml.models import perceptron
from torchml.models.names import public_name


class EdgeModel(torch.nn.Module):
    """A potential whose energy is a function of the vectors between neighbours.

    Subclasses implement `forward` in the part of Python that TorchScript understands, with aten
    operations only, and are smooth where an edge reaches the cutoff. They do not depend on the
    calling convention: `torchml.models.scripting.script` wraps them in one of the conventions.

    The arguments of the constructor are recorded, so that a checkpoint can build the model again:
    they should be plain values (texts, numbers, lists) or other models.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: neighbours are closer than this (Å).
        layers: number of message-passing layers.

    Raises:
        TorchMLError: a symbol is unknown or occurs twice, or a number is out of range.

    Attributes:
        species: chemical symbols; species code `k` in the input means `species[k]`.
        cutoff: neighbours are closer than this (Å).
        layers: message-passing layers; the influence distance is `layers * cutoff`, unless
            `shell_cutoffs` says less.
        radial: True when the energy depends on the edge vectors through their lengths only.
        width: columns of `node_features`; 0 where a model has none.
        convention: default calling convention of the exported model.
        exact_distances: the model takes vectors in float64 also if its weights are float32, and
            computes the lengths in float64 before it converts to its own type.
        physical: the energies are eV as they are: a training neither scales nor shifts them.
        members: members of a committee, which implements `member_energies`; 0 for one model.
        label: name of the model as a part of a `Sum`.
        learning_rate: that of AdamW in trainings that name no optimiser.
        varying: what a call makes in a number that depends on the edge vectors, such as "angles".
            Such a model cannot be compiled ahead of time; empty elsewhere.
        arguments: arguments of the constructor, defaults included, as plain values.
    """

    radial = False
    width = 0
    convention = "edges"
    exact_distances = False
    physical = False
    members = 0
    label = "model"
    learning_rate = 1e-3
    varying = ""
    arguments: dict[str, Any]

    __jit_ignored_attributes__ = (
        "arguments",
        "convention",
        "exact_distances",
        "physical",
        "label",
        "learning_rate",
        "varying",
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls)
        object.__setattr__(model, "arguments", _recorded(cls, args, kwargs))
        return model

    def __init__(self, species: list[str], cutoff: float, layers: int) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(species, str) or len(species) == 0:
            raise TorchMLError(
                f"{name}: species is {species!r}, expected a list of chemical symbols"
            )
        for symbol in species:
            core.atomic_number(symbol)  # raises an error for an unknown symbol
        if len(set(species)) != len(species):
            raise TorchMLError(f"{name}: species is '{' '.join(species)}': a symbol occurs twice")
        if not (math.isfinite(cutoff) and cutoff > 0):
            raise TorchMLError(f"{name}: cutoff is {cutoff}, expected a positive length in Å")
        require_positive(self, layers=layers)
        self.species = list(species)
        self.cutoff = float(cutoff)
        self.layers = int(layers)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the energies of the particles (eV).

        Args:
            species: codes, i64[M].
            edge_vectors: position of the source minus position of the target, float[E, 3] (Å).
            edge_index: row 0 source, row 1 target, i64[2, E]; sorted by the target's shell.
            node_counts: `node_counts[k]` nodes lie in the shells 0..k; `layers + 1` entries.
            edge_counts: `edge_counts[k]` edges point into the shells 0..k; `layers` entries.

        Layer `k` (from 0) may work on the first `edge_counts[-1 - k]` edges and needs to produce
        the first `node_counts[-2 - k]` nodes only.

        Returns:
            float[M]; only the first `node_counts[0]` values must be right.
        """
        raise NotImplementedError

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        """Return the energies of the contributing particles by each member of a committee (eV).

        Their mean is the energy of the model. The members may be networks, or draws from the
        posterior of one: what differs is not part of this interface. Members that share nothing
        should be tensors of separate graphs, so that the gradient of one costs one.

        Args:
            species: as in `forward`, like the other arguments.

        Returns:
            A tensor float[node_counts[0]] for each of the `members`.
        """
        raise NotImplementedError

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the features of each atom, from which the energy is computed.

        They are invariant under rotations. Heads for other properties start from them; a model for
        energies alone need not implement this method.

        Args:
            species: as in `forward`, like the other arguments.

        Returns:
            float[n, width] with n >= `node_counts[0]`.
        """
        raise NotImplementedError

    def last_inputs(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return what the last, linear layer multiplies by its weights.

        Each column is the derivative of the energies by one number of `last_weights`, in their
        order. A model whose last layer is not linear need not implement this method.

        Args:
            species: as in `forward`, like the other arguments.

        Returns:
            float[node_counts[0], P]
        """
        raise NotImplementedError

    def drawn_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
        draws: Tensor,
    ) -> Tensor:
        """Return the energies of the contributing particles with other last weights (eV).

        Args:
            species: as in `forward`, like the arguments up to draws.
            draws: what is added to `last_weights`, float[P, members].

        Returns:
            float[node_counts[0], members]
        """
        energies = self.forward(species, edge_vectors, edge_index, node_counts, edge_counts)
        inputs = self.last_inputs(species, edge_vectors, edge_index, node_counts, edge_counts)
        return energies[: node_counts[0]].unsqueeze(1) + torch.matmul(inputs, draws)

    @torch.jit.unused
    def last_weights(self) -> list[torch.nn.Parameter]:
        """Return the weights of the last, linear layer; empty where it is not linear."""
        return []

    def shell_cutoffs(self) -> list[float]:
        """Return the lengths of the edges into the atoms that are 0, 1, .. hops away (Å).

        None is longer than the one before; their sum is the influence distance.
        """
        return [self.cutoff] * self.layers

    def calibrate(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> None:
        """Adapt scales to the data; called once, before training, with some training data.

        Values that are set here must be buffers.

        Args:
            species: as in `forward`, like the other arguments.
        """
        return

    def for_simulation(self) -> EdgeModel:
        """Return a model of the same energies that is faster, but cannot be trained.

        The export takes it. It need not have second derivatives, and shares no weights that change;
        by default it is the model itself.
        """
        return self

    @torch.jit.unused
    def with_members(self, members: list[EdgeModel]) -> EdgeModel:
        """Return this model with members that differ from it in the last layer alone.

        Only models that `for_simulation` makes of others need implement this method.

        Args:
            members: made by `for_simulation` as well.
        """
        raise NotImplementedError

    def set_scale(self, scale: float) -> None:
        """Adapt the model to the factor with which a training multiplies its energies.

        Args:
            scale: of the `Scaled` around this model (eV).
        """
        return


class FeatureModel(EdgeModel):
    """A model that computes features of each atom, and the energy from the features.

    Subclasses implement `node_features` and have a module `readout`: [n, width] -> [n, 1].

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one layer (Å).
        layers: passes over the edges.
        features: number of features of an atom, the `width` of `node_features`.
        counts: other sizes by the name of their argument; each must be at least 1.
    """

    if TYPE_CHECKING:  # TorchScript would try to understand the annotation
        readout: torch.nn.Module

    def __init__(
        self, species: list[str], cutoff: float, layers: int, features: int, **counts: int
    ) -> None:
        super().__init__(species, cutoff, layers)
        require_positive(self, features=features, **counts)
        self.width = features

    def complete(self, dtype: str) -> None:
        """End a constructor: add the readout, initialise the weights, convert to the float type."""
        self.readout = perceptron.readout(self.width)
        perceptron.initialize(self)
        self.to(float_type(dtype))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        features = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
        return per_node(self.readout(features), species)

    def last_inputs(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        features = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
        return self.with_one(features[: node_counts[0]])

    def drawn_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
        draws: Tensor,
    ) -> Tensor:
        features = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
        features = features[: node_counts[0]]
        energies: Tensor = self.readout(features)
        return energies + torch.matmul(self.with_one(features), draws)

    def with_one(self, features: Tensor) -> Tensor:
        """Return `hidden`, and a column of ones for the bias of the last layer."""
        hidden = self.hidden(features)
        return torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1)

    def hidden(self, features: Tensor) -> Tensor:
        """Return what the last layer of the readout takes: [n, width] -> [n, P - 1]."""
        hidden: Tensor = self.readout[1](self.readout[0](features))  # type: ignore[index]
        return hidden

    @torch.jit.unused
    def last_weights(self) -> list[torch.nn.Parameter]:
        return list(self.readout[-1].parameters())  # type: ignore[index]


def per_node(energies: Tensor, species: Tensor) -> Tensor:
    """Pad the energies [n, 1] of the first n nodes to [M]; the other nodes are ghosts."""
    flat = energies.squeeze(1)
    return torch.nn.functional.pad(flat, [0, species.size(0) - flat.size(0)])


def require_positive(model: torch.nn.Module, **counts: int) -> None:
    """Raise an error that names the first count below one."""
    for name, value in counts.items():
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise TorchMLError(
                f"{type(model).__name__}: {name} is {value!r}, expected a whole number, at least 1"
            )


def require_choice(model: torch.nn.Module, name: str, value: str, choices: Sequence[str]) -> None:
    """Raise an error if the value is not one of the choices."""
    if value not in choices:
        raise TorchMLError(
            f"{type(model).__name__}: {name} is {value!r}, expected {' | '.join(choices)}"
        )


def float_type(dtype: str | torch.dtype) -> torch.dtype:
    """Return the torch type of "float32" or "float64"; a torch type is returned unchanged."""
    for known in (torch.float32, torch.float64):
        if dtype in (known, str(known).removeprefix("torch.")):
            return known
    raise TorchMLError(f"dtype is {dtype!r}, expected float32 | float64")


def _recorded(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name; wrong arguments give {}, and the constructor raises."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    values: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            values.update({key: _plain(item) for key, item in value.items()})
        elif signature.parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL or value:
            values[name] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    """Convert to types of YAML and JSON; other values are returned unchanged."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, EdgeModel):
        return {"class_path": public_name(type(value)), "init_args": value.arguments}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy numbers and arrays, tensors
        return value.tolist()
    return value
