"""Old name of `torchml.export.compression`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.export.compression")
