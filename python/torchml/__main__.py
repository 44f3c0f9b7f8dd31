"""`python -m torchml` is the command `torchml`."""

import sys

from torchml.cli import main

if __name__ == "__main__":
    sys.exit(main())
