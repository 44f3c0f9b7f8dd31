"""One Lightning for KLIFF and torch_geometric.

KLIFF imports `pytorch_lightning`; torch_geometric, whose data module KLIFF passes to its trainer,
prefers `lightning.pytorch`. If both are installed, neither accepts the classes of the other.
"""

import importlib
import sys

for name in ("", ".callbacks", ".loggers"):
    sys.modules[f"pytorch_lightning{name}"] = importlib.import_module(f"lightning.pytorch{name}")
