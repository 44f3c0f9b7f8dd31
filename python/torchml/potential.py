"""Old name of `torchml.inference.potential`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.inference.potential")
