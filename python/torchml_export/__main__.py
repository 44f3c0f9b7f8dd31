"""`python -m torchml_export`: the command of `torchml.export`."""

import sys

from torchml.cli import export_main

if __name__ == "__main__":
    sys.exit(export_main())
