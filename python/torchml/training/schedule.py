"""Old name of `torchml.training.loop.schedule`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.training.loop.schedule")
