"""Old name of modules of `torchml.contract`, kept for one release."""

from torchml.contract.completion import complete, merge
from torchml.contract.operators import load_extensions
from torchml.contract.signature import SHELL_COUNTS, Signature, probe

__all__ = ["SHELL_COUNTS", "Signature", "complete", "load_extensions", "merge", "probe"]
