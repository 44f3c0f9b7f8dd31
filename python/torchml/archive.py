"""Old name of `torchml.importers.opening`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.importers.opening")
