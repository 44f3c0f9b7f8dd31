"""Old name of `torchml.contract.signature`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.contract.signature")
