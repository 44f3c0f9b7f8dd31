"""`python -m torchml_export`: the command of `torchml.export`."""

import sys

from torchml.export.command import main

if __name__ == "__main__":
    sys.exit(main())
