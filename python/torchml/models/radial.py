"""Functions of a distance: bases that expand it, and envelopes that end it at the cutoff."""

import math

import torch
from torch import Tensor


def lengths(vectors: Tensor) -> Tensor:
    """Lengths [E] of vectors [E, 3], none of which is zero."""
    return vectors.square().sum(1).sqrt()


def cosine_envelope(r: Tensor, cutoff: float) -> Tensor:
    """(1 + cos(pi r / cutoff)) / 2, and 0 beyond: value and slope vanish at the cutoff."""
    envelope = 0.5 * (torch.cos(r * (math.pi / cutoff)) + 1.0)
    return torch.where(r < cutoff, envelope, torch.zeros_like(envelope))


def polynomial_envelope(r: Tensor, cutoff: float) -> Tensor:
    """1 - 28 x^6 + 48 x^7 - 21 x^8 with x = r / cutoff, and 0 beyond.

    Value, slope and curvature vanish at the cutoff; the function stays close to 1 for long.
    J. Gasteiger, J. Groß and S. Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 8 with p = 6.
    """
    x = (r / cutoff).clamp(max=1.0)
    return 1.0 + x.pow(6) * (x * (48.0 - 21.0 * x) - 28.0)


class Gaussians(torch.nn.Module):
    """exp(-(r - c_k)^2 / (2 d^2)) on an even grid 0 = c_0 .. c_{n-1} = cutoff with spacing d."""

    centers: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        centers = torch.linspace(0.0, cutoff, count, dtype=torch.float64)
        self.register_buffer("centers", centers)
        self.exponent = -0.5 * (max(count - 1, 1) / cutoff) ** 2

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, count]"""
        return torch.exp(self.exponent * (r.unsqueeze(1) - self.centers).square())


class Bessel(torch.nn.Module):
    """sqrt(2 / cutoff) sin(k pi r / cutoff) / r, k = 1 .. n: zero at the cutoff, with a slope.

    J. Gasteiger, J. Groß and S. Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 7.
    """

    wavenumbers: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        orders = torch.arange(1, count + 1, dtype=torch.float64)
        self.register_buffer("wavenumbers", orders * (math.pi / cutoff))
        self.norm = math.sqrt(2.0 / cutoff)

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, count]"""
        distance = r.unsqueeze(1)
        return torch.sin(distance * self.wavenumbers) * (self.norm / distance)
