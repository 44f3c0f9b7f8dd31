"""Scale the inputs of networks to mean 0 and standard deviation 1 over the training data."""

import torch
from torch import Tensor


def standardization(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and inverse deviations of the columns: [n, width] -> [width], [width].

    Columns of nearly constant value are not amplified: the deviation is at least a hundredth of
    the largest value. Columns of zeros, as for pairs of elements that are no neighbours in these
    data, are scaled by the largest value of all columns.
    """
    values = values.detach().double()
    deviation, mean = torch.std_mean(values, 0, correction=0)
    largest = values.abs().amax(0)
    highest = largest.max()
    if highest == 0.0:
        return mean, torch.ones_like(mean)
    floor = torch.where(largest > 1e-12 * highest, 0.01 * largest, highest)
    return mean, 1.0 / torch.maximum(deviation, floor)
