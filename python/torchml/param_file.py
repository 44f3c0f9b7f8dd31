"""Old name of `torchml.contract.param_file`, kept for one release."""

from torchml.lazy import moved

moved(__name__, "torchml.contract.param_file")
