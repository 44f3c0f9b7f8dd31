"""Old name of `torchml.importers.checkpoint`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.importers.checkpoint")
