"""Old name of `torchml.inference.calculator`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.inference.calculator")
