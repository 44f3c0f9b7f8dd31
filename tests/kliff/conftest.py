"""One Lightning for KLIFF and torch_geometric.

KLIFF imports `pytorch_lightning`; torch_geometric, whose data module KLIFF hands to its trainer,
prefers `lightning.pytorch`. Where both are installed, neither accepts the other's classes.
"""

import importlib
import sys

for name in ("", ".callbacks", ".loggers"):
    sys.modules[f"pytorch_lightning{name}"] = importlib.import_module(f"lightning.pytorch{name}")
