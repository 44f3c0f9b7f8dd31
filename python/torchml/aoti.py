"""Old name of `torchml.export.aoti`."""

from torchml.lazy import moved

moved(__name__, "torchml.export.aoti")
