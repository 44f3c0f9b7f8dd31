"""The older name of parts of `torchml.data.tools`."""

from torchml.data.tools.arguments import keys_of
from torchml.data.tools.statistics import statistics

__all__ = ["keys_of", "statistics"]
