"""Polynomials of atomic tensors, evaluated by an operator of `torchml._core`."""

# TorchScript reads the annotations, so this file must not turn them into strings.
from collections.abc import Sequence

import torch
from torch import Tensor

import torchml._core  # registers the operator  # noqa: F401


def term_table(terms: Sequence[tuple[int, Sequence[int]]]) -> Tensor:
    """Terms of polynomials as `products` takes them.

    Args:
        terms: of each, the output it is added to, and the rows of x whose product it contains.

    Returns:
        int32[T, 1 + degree]: the output and the rows, filled up with -1. A module keeps it as a
        buffer.
    """
    degree = max([1] + [len(factors) for _, factors in terms])
    rows = [[output, *factors] + [-1] * (degree - len(factors)) for output, factors in terms]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 1 + degree)


def products(
    x: Tensor, elements: Tensor, coefficients: Tensor, terms: Tensor, outputs: int
) -> Tensor:
    """Polynomials of the rows of x, atom by atom and channel by channel.

        out[n, o, k] = sum over terms t of o of  coefficients[elements[n], t, k] prod_f x[n, f, k]

    It can be differentiated twice, by x and by the coefficients.

    Args:
        x: [n, rows, channels], float32 or float64.
        elements: i64[n].
        coefficients: [Z, T, channels], as x.
        terms: that of `term_table`.
        outputs: how many polynomials there are.

    Returns:
        [n, outputs, channels].
    """
    result: Tensor = torch.ops.torchml.products(x, elements, coefficients, terms, outputs)
    return result
