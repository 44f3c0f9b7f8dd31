"""The basis of a triplet: spherical Bessel functions of a distance, Legendre functions of an angle.

J. Gasteiger, J. Groß and S. Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 6.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor


def bessel_zeros(degrees: int, count: int) -> NDArray[np.float64]:
    """Return the first `count` positive zeros of j_0 .. j_{degrees-1}: [degrees, count].

    j_l are the spherical Bessel functions of the first kind.
    """
    # Zeros of j_0 are multiples of pi; between two zeros of j_l lies exactly one zero of j_{l+1}.
    zeros = [np.arange(1, count + degrees) * math.pi]
    for degree in range(1, degrees):
        brackets = zip(zeros[-1][:-1], zeros[-1][1:], strict=True)
        zeros.append(np.array([_root(degree, a, b) for a, b in brackets]))
    return np.stack([row[:count] for row in zeros])


def _root(degree: int, low: float, high: float) -> float:
    return float(brentq(lambda x: spherical_jn(degree, x), low, high, xtol=1e-14, rtol=1e-14))


class SphericalBessel(torch.nn.Module):
    """j_l(z_ln r / cutoff), normalised on the ball of radius one, l < degrees, n < count.

    The functions are entire: their Chebyshev series on 0 .. cutoff are right to 1e-9, also at short
    distances, where the closed forms cancel, and so are their derivatives. All terms come from a
    few doublings, T_{m+j} = 2 T_m T_j - T_{m-j}.

    Args:
        degrees: number of degrees l.
        count: number of functions of each degree.
        cutoff: where the functions vanish (Å).
    """

    series: Tensor

    def __init__(self, degrees: int, count: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        zeros = bessel_zeros(degrees, count)
        # The terms fall off faster than exponentially once their number exceeds half the zero.
        self.doublings = math.ceil(math.log2(zeros.max() / 2 + 16))
        terms = 2**self.doublings + 1
        angles = np.pi * (np.arange(terms) + 0.5) / terms
        nodes = np.cos(angles)
        # Chebyshev polynomials are orthogonal over these nodes.
        transform = np.cos(np.outer(np.arange(terms), angles)) * (2.0 / terms)
        transform[0] *= 0.5
        columns = []
        for degree, row in enumerate(zeros):
            for zero in row:
                norm = math.sqrt(2.0) / abs(spherical_jn(degree + 1, zero))
                values = norm * spherical_jn(degree, zero * (nodes + 1.0) / 2.0)
                columns.append(transform @ values)
        self.register_buffer("series", torch.tensor(np.stack(columns, axis=1)))

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, degrees * count], the functions of one degree next to each other."""
        x = (r * (2.0 / self.cutoff) - 1.0).clamp(max=1.0).unsqueeze(1)
        terms = torch.cat([torch.ones_like(x), x], dim=1)
        for _ in range(self.doublings):
            m = terms.size(1) - 1
            more = 2.0 * terms[:, m:] * terms[:, 1:] - terms[:, :m].flip(1)
            terms = torch.cat([terms, more], dim=1)
        return terms @ self.series


def legendre(x: Tensor, degrees: int) -> Tensor:
    """Y_l0 = sqrt((2 l + 1) / (4 pi)) P_l(x) of the cosine x, l < degrees: [T] -> [T, degrees].

    A polynomial in the cosine, so it is smooth where edges are parallel.
    """
    before, current = torch.zeros_like(x), torch.ones_like(x)
    columns: list[Tensor] = []
    for degree in range(degrees):
        columns.append(math.sqrt((2 * degree + 1) / (4.0 * math.pi)) * current)
        after = ((2 * degree + 1) * x * current - degree * before) / (degree + 1)
        before, current = current, after
    return torch.stack(columns, dim=1)
