"""Old name of `torchml.importers.mace.model`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.importers.mace.model")
