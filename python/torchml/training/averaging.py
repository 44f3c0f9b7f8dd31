"""Old name of `torchml.training.callbacks.averaging`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.training.callbacks.averaging")
