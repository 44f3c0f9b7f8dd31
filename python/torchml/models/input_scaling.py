"""Inputs of networks with the mean 0 and the deviation 1 over the training data."""

import torch
from torch import Tensor


def standardization(values: Tensor) -> tuple[Tensor, Tensor]:
    """Means and inverse deviations of the columns: [n, width] -> [width], [width].

    What hardly varies shall not become noise: deviations count as a hundredth of the largest value
    at least. What is zero here, as for pairs of elements that do not meet in these data, is scaled
    by the largest value of all, and does not explode where they do.
    """
    values = values.detach().double()
    deviation, mean = torch.std_mean(values, 0, correction=0)
    largest = values.abs().amax(0)
    highest = largest.max()
    if highest == 0.0:
        return mean, torch.ones_like(mean)
    floor = torch.where(largest > 1e-12 * highest, 0.01 * largest, highest)
    return mean, 1.0 / torch.maximum(deviation, floor)
