"""Functions of the distance, and the networks that make radial weights of them."""

import math

import torch
from torch import Tensor

from torchml.models.radial import Expansion, Filters, RadialFunction


class PolynomialEnvelope(torch.nn.Module):
    """`polynomial` of the distance: [E, 1] -> [E, 1]."""

    def __init__(self, p: int, cutoff: float) -> None:
        super().__init__()
        self.p = p
        self.cutoff = cutoff

    def forward(self, r: Tensor) -> Tensor:
        return polynomial(r / self.cutoff, self.p)


def polynomial(x: Tensor, p: int) -> Tensor:
    """1 - (p+1)(p+2)/2 x^p + p (p+2) x^(p+1) - p (p+1)/2 x^(p+2), and 0 beyond 1."""
    x = x.clamp(max=1.0)
    inner = x * (p * (p + 2.0) - (0.5 * p * (p + 1.0)) * x) - 0.5 * (p + 1.0) * (p + 2.0)
    return 1.0 + x.pow(p) * inner


class XPLOREnvelope(torch.nn.Module):
    """(c^2 - r^2)^2 (c^2 + 2 r^2 - 3 a^2) / (c^2 - a^2)^3 between the onset a and the cutoff c.

    It is 1 below the onset, where its second derivative jumps, and 0 beyond the cutoff.
    A. T. Brünger, X-PLOR (Yale University Press, 1992).
    """

    def __init__(self, onset: float, cutoff: float) -> None:
        super().__init__()
        self.onset = onset
        self.cutoff = cutoff

    def forward(self, r: Tensor) -> Tensor:
        """[E, 1] -> [E, 1]"""
        low, high = self.onset**2, self.cutoff**2
        square = r.clamp(self.onset, self.cutoff).square()
        return (high - square).square() * (high + 2.0 * square - 3.0 * low) / (high - low) ** 3


class BesselFunctions(torch.nn.Module):
    """prefactor sin(w x) / x: [E, 1] -> [E, R], with the wavenumbers w [R] (1/Å)."""

    wavenumbers: Tensor
    prefactor: Tensor

    def __init__(self, wavenumbers: Tensor, prefactor: float) -> None:
        super().__init__()
        self.register_buffer("wavenumbers", wavenumbers)
        self.register_buffer("prefactor", torch.tensor(prefactor, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.prefactor * (torch.sin(self.wavenumbers * x) / x)


class Basis(Expansion):
    """Functions that expand a distance, and the envelope as the last column: [E] -> [E, R + 1].

    Args:
        functions: [E, 1] -> [E, R]
        envelope: [E, 1] -> [E, 1]
        late: the functions do not carry the envelope; the weights made of them do.
    """

    __constants__ = ["compressed"]  # noqa: RUF012
    kind: Tensor

    def __init__(self, functions: torch.nn.Module, envelope: torch.nn.Module, late: bool) -> None:
        super().__init__()
        self.functions = functions
        self.envelope = envelope
        self.late = late
        self.register_buffer("kind", torch.zeros((), dtype=torch.float64))  # float type

    def forward(self, r: Tensor) -> Tensor:
        return self.transformed(r, r)

    @torch.jit.unused
    def breaks(self) -> list[float]:
        envelope = self.envelope
        return (
            [envelope.onset] if isinstance(envelope, XPLOREnvelope) and envelope.onset > 0 else []
        )

    def transformed(self, r: Tensor, t: Tensor) -> Tensor:
        """The same of t [E], with the envelope of the distance r."""
        envelope = self.envelope(r.to(self.kind.dtype).unsqueeze(1))
        functions = self.functions(t.to(self.kind.dtype).unsqueeze(1))
        if not self.late:
            functions = functions * envelope
        return torch.cat([functions, envelope], 1)


def activated(x: Tensor, name: str) -> Tensor:
    """Values of the activation of a name; `ssp` is softplus without its value at 0."""
    if name == "silu":
        return torch.nn.functional.silu(x)
    if name == "tanh":
        return torch.tanh(x)
    if name == "abs":
        return torch.abs(x)
    if name == "ssp":
        return torch.nn.functional.softplus(x) - math.log(2.0)
    if name == "relu":
        return torch.relu(x)
    if name == "sigmoid":
        return torch.sigmoid(x)
    if name == "elu":
        return torch.nn.functional.elu(x)
    if name == "gelu":
        return torch.nn.functional.gelu(x)
    if name == "mish":
        return torch.nn.functional.mish(x)
    assert name == "identity"
    return x


class Perceptron(torch.nn.Module):
    """Matrix products with an activation between them, no biases: [E, F] -> [E, F'].

    Args:
        weights: [F, F'] of each layer.
        activation: as in `activated`.
    """

    def __init__(self, weights: list[Tensor], activation: str = "silu") -> None:
        super().__init__()
        self.activation = activation
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(weight, requires_grad=False) for weight in weights
        )
        self.last = len(weights) - 1

    def forward(self, x: Tensor) -> Tensor:
        for k, weight in enumerate(self.weights):
            x = x @ weight
            if k < self.last:
                x = activated(x, self.activation)
        return x

    @torch.jit.unused
    def before_last(self, x: Tensor) -> Tensor:
        """What the last matrix multiplies."""
        for weight in self.weights[:-1]:
            x = activated(x @ weight, self.activation)
        return x


class RadialWeights(RadialFunction):
    """The network that makes the weights of all paths of the expanded distance."""

    __constants__ = ["compressed"]  # noqa: RUF012

    def __init__(self, network: Perceptron, late: bool) -> None:
        super().__init__()
        self.network = network
        self.late = late

    def forward(self, expansion: Tensor) -> Tensor:
        weights: Tensor = self.network(expansion[:, :-1])
        return weights * expansion[:, -1:] if self.late else weights

    def filters(self, expansion: Tensor) -> Filters:
        """The last layer is left to the operator, which needs no array [E, weights]."""
        inner = self.network.before_last(expansion[:, :-1])
        values = inner * expansion[:, -1:] if self.late else inner
        return Filters(values, self.network.weights[-1].t())
