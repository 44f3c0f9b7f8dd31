"""Old name of `torchml.contract.metadata`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.contract.metadata")
