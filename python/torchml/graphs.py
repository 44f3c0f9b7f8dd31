"""Old name of `torchml.neighbors.staged`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.neighbors.staged")
