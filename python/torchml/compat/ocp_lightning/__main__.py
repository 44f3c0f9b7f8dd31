"""`python -m torchml.compat.ocp_lightning`."""

import sys

from torchml.compat.ocp_lightning.command import main

sys.exit(main())
