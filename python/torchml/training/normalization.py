"""Old name of `torchml.training.loop.energy_scaling`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.training.loop.energy_scaling")
