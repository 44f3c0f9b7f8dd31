"""Old place of the parts of MACE, which are in `torchml.importers.networks`."""

from torchml.importers.networks.equivariant import *  # noqa: F403
from torchml.importers.networks.mace import *  # noqa: F403
from torchml.importers.networks.messages import *  # noqa: F403
from torchml.importers.networks.radial import *  # noqa: F403
