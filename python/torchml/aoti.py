"""Old name of `torchml.export.aoti.compilation`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.export.aoti.compilation")
