"""A trained potential that is trained again: what stays, and its reference energies."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from torchml.errors import ModelError
from torchml.importers.low_rank import Combination, LowRank
from torchml.importers.networks.weights import combined_weights, free_weights
from torchml.models.base import EdgeModel
from torchml.models.dtype import network_dtype
from torchml.models.scaled import Scaled

Place = tuple[torch.nn.Module, str]


@dataclass(frozen=True)
class LoRA:
    """Low-rank changes: all old weights stay, and thin matrices beside the old ones are trained.

    Attributes:
        rank: rank of the change of a matrix.
        alpha: the change is multiplied by alpha / rank.
        matrices: patterns of the names of weights; those that are no matrices, or have a side that
            is not longer than the rank, are left out.
    """

    rank: int = 4
    alpha: float = 4.0
    matrices: list[str] = field(default_factory=lambda: ["*"])

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ModelError(f"model.init_from.lora.rank is {self.rank}, expected at least 1")


@dataclass(frozen=True)
class Changes:
    """What a training may change of a potential.

    Attributes:
        freeze: patterns of the names of weights, or of modules, that stay to the bit.
        lora: trains low-rank changes in place of the weights.
        ranks: of weights that are combinations of couplings, by name; found where it is missing.
    """

    freeze: Sequence[str] = ()
    lora: LoRA | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)


class FineTuned(Scaled):
    """references[element] + scale * (network - network of an isolated atom), in float64.

    An isolated atom has the reference energy of its element, whatever the training does to the
    weights. `merged` makes a `Scaled` of it, the same function.

    Args:
        start: the trained potential; its network is changed in place.
        changes: what may change.

    Raises:
        ModelError: a pattern matches nothing, or nothing is left to train.

    Attributes:
        changes: with the ranks that were found.
        base: description of `start`, from which a checkpoint makes it again.
        settled: the reference energies are set, as in a training that resumes.
        frozen: names of the weights that stay.
        low_rank: names of the weights that stay and get a low-rank change.
        trained: names of the weights that are trained.
        idle: patterns that freeze nothing that would be trained without them.
        unit: energies and forces of the loss are divided by it (eV).
        shifts: energies that were added to those of the isolated atoms of `start` [Z] (eV).
    """

    unit: Tensor
    shifts: Tensor

    def __init__(self, start: Scaled, changes: Changes) -> None:
        super().__init__(start.network)
        with torch.no_grad():
            self.scale.copy_(start.scale)
            self.references.copy_(start.references + start.scale * isolated(start.network))
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))
        self.register_buffer("shifts", torch.zeros_like(self.references))
        self.base: Mapping[str, Any] = {}
        self.settled = False
        self.frozen: list[str] = []
        self.low_rank: list[str] = []
        self.trained: list[str] = []
        self.idle: list[str] = []
        self.changes = changes
        ranks = self._change()
        self.changes = Changes(tuple(changes.freeze), changes.lora, ranks)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        energies: Tensor = self.network(species, edge_vectors, edge_index, node_counts, edge_counts)
        bound = energies.to(torch.float64) - isolated(self.network).index_select(0, species)
        return bound * self.scale + self.references.index_select(0, species)

    @torch.jit.unused
    def for_simulation(self) -> EdgeModel:
        network = copy.deepcopy(self.network)
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for key in list(module.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(module, key)
        plain = Scaled(network)
        self._normalize_like(plain)
        return plain.train(self.training).for_simulation()

    def describe(self) -> dict[str, Any]:
        """Plain values for a checkpoint: `base`, and what the training may change."""
        return {"model": dict(self.base), "fine_tuning": asdict(self.changes)}

    def old_weights(self) -> Iterator[torch.nn.Parameter]:
        """The weights of the old potential that are trained."""
        changes = [one for one in self.network.modules() if isinstance(one, LowRank)]
        new = {id(parameter) for change in changes for parameter in change.parameters()}
        for parameter in self.network.parameters():
            if parameter.requires_grad and id(parameter) not in new:
                yield parameter

    def merged(self, plain: Scaled) -> Scaled:
        """Put the weights into a potential of the same structure as `start` was.

        Low-rank changes are added to their matrices, and the energies that the network gives to
        isolated atoms are taken off the reference energies.

        Args:
            plain: what `base` describes.
        """
        network = plain.network
        with torch.no_grad():
            for name, tensor in chain(network.named_parameters(), network.named_buffers()):
                tensor.copy_(tensor_of(self.network, name))
        self._normalize_like(plain)
        return plain.eval()

    @torch.no_grad()
    def _normalize_like(self, plain: Scaled) -> None:
        """Set the scale and the reference energies of a potential with the weights of this one."""
        exact = copy.deepcopy(plain.network).to(torch.float64)
        plain.scale.copy_(self.scale)
        plain.references.copy_(self.references - self.scale * isolated(exact))

    def _change(self) -> dict[str, int]:
        """Freeze, and make parameters of what is trained; return the ranks of combinations."""
        places = weights_of(self.network)
        lora, ranks = self.changes.lora, {}
        frozen = _matched(places, self.changes.freeze, "freeze")
        chosen = _matched(places, lora.matrices, "lora.matrices") if lora else set()
        needed: set[str] = set()
        for name, (module, key) in places.items():
            tensor = _as_parameter(module, key)
            thin = lora is not None and (tensor.ndim != 2 or min(tensor.shape) <= lora.rank)
            stays = lora is not None and (thin or name not in chosen)
            if not stays:
                needed |= {one for one in self.changes.freeze if _matches(name, one)}
            if name in frozen or stays:
                self.frozen.append(name)
                tensor.requires_grad_(False)
            elif lora is not None:
                self.low_rank.append(name)
                tensor.requires_grad_(False)
                change = LowRank(tensor.detach(), lora.rank, lora.alpha)
                parametrize.register_parametrization(module, key, change)
            else:
                self.trained.append(name)
                tensor.requires_grad_(True)
                if axes := combined_weights(module).get(key):
                    rows = Combination(tensor, axes, self.changes.ranks.get(name))
                    ranks[name] = rows.rank
                    parametrize.register_parametrization(module, key, rows)
        self.idle = [pattern for pattern in self.changes.freeze if pattern not in needed]
        if not (self.low_rank or self.trained):
            raise ModelError(
                f"model.init_from: all of the {len(places)} weights are frozen, expected some to "
                "train"
            )
        return ranks


def weights_of(network: torch.nn.Module) -> dict[str, Place]:
    """The module and the key of each tensor of weights, by name."""
    places: dict[str, Place] = {}
    for prefix, module in network.named_modules():
        learned = [key for key, one in module.named_parameters(recurse=False) if one.requires_grad]
        places |= {_name(prefix, key): (module, key) for key in learned}
        for key in (*free_weights(module), *combined_weights(module)):
            value = getattr(module, key)
            several = isinstance(value, torch.nn.ParameterList)
            owner, keys = (value, map(str, range(len(value)))) if several else (module, [key])
            start = _name(prefix, key) if several else prefix
            # Zeros stand for what the package does not have: a map between unlike representations.
            places |= {_name(start, one): (owner, one) for one in keys if getattr(owner, one).any()}
    return places


def isolated(network: EdgeModel) -> Tensor:
    """Energies that a network gives to one atom of each element without neighbours, float64[Z]."""
    count, layers = len(network.species), network.layers
    tensor = next(chain(network.parameters(), network.buffers()))
    species = torch.arange(count, device=tensor.device)
    vectors = tensor.new_zeros(0, 3, dtype=network_dtype(network))
    index = species.new_zeros(2, 0)
    energies: Tensor = network(species, vectors, index, [count] * (layers + 1), [0] * layers)
    return energies[:count].to(torch.float64)


def _name(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _as_parameter(module: torch.nn.Module, key: str) -> torch.nn.Parameter:
    """A tensor of a module as a parameter of the same name."""
    tensor = getattr(module, key)
    if key in module._buffers:
        del module._buffers[key]
        setattr(module, key, torch.nn.Parameter(tensor.detach().clone()))
    parameter: torch.nn.Parameter = getattr(module, key)
    return parameter


def _matched(places: Mapping[str, Place], patterns: Sequence[str], option: str) -> set[str]:
    """Names that match a pattern, or whose module does."""
    found: set[str] = set()
    for pattern in patterns:
        names = {name for name in places if _matches(name, pattern)}
        if not names:
            raise ModelError(
                f"model.init_from.{option}: '{pattern}' matches none of the {len(places)} weights, "
                f"expected a pattern of names such as {', '.join(_examples(places))}"
            )
        found |= names
    return found


def _matches(name: str, pattern: str) -> bool:
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:k]), pattern) for k in range(1, len(parts) + 1))


def _examples(places: Mapping[str, Place]) -> list[str]:
    """The first weights of each part of the network."""
    first: dict[str, str] = {}
    for name in places:
        first.setdefault(name.split(".")[0], name)
    return list(first.values())


def tensor_of(module: Any, name: str) -> Tensor:
    """The tensor of a name with dots, as the network computes with it."""
    for part in name.split("."):
        module = getattr(module, part)
    value: Tensor = module
    return value
