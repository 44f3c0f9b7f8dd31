"""Old name of `torchml.training.callbacks.checkpoint_files`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.training.callbacks.checkpoint_files")
