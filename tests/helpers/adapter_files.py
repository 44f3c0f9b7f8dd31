"""A model of a user's own, and the file with five lines that brings it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

MODULE = '''
import torch


class Pairs(torch.nn.Module):
    """Two passes over the edges."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.embedding = torch.nn.Embedding(2, 6)
        self.linear = torch.nn.Linear(6, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.register_buffer("centers", torch.linspace(0.5, 3.5, 6))

    def forward(self, species, vectors, index):
        x = self.embedding(species)
        r = torch.linalg.norm(vectors, dim=-1)
        envelope = torch.where(r < 3.5, (1 - r / 3.5).clamp(min=0) ** 3, 0.0)
        filters = torch.exp(-((r[:, None] - self.centers) ** 2)) * envelope[:, None]
        for _ in range(2):
            sums = torch.zeros(len(x), 6, dtype=x.dtype)
            sums.index_add_(0, index[1], x[index[0]] * filters)
            first, second = torch.nn.functional.silu(self.linear(sums)).chunk(2, -1)
            x = x + self.norm(torch.cat([second, first], -1)) * sums
        return x[:, [0, 2]].sum(1) + torch.einsum("ni,ni->n", x, x)
'''

ADAPTER = """
import my_network

species = ["Si", "O"]
cutoff = 3.5
layers = 2


def energies(model, species, edge_vectors, edge_index):
    return model(species, edge_vectors, edge_index)
"""


def network(folder: Path) -> torch.nn.Module:
    """The model, in float64; its module is written."""
    (folder / "my_network.py").write_text(MODULE)
    spec = importlib.util.spec_from_file_location("my_network", folder / "my_network.py")
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["my_network"] = module
    spec.loader.exec_module(module)
    model: torch.nn.Module = module.Pairs().double().eval().requires_grad_(False)
    return model


def write(folder: Path, adapter: str = ADAPTER) -> list[str]:
    """Write the model, its module and the adapter; returns the words of the command."""
    torch.save(network(folder), folder / "model.pt")
    (folder / "my_adapter.py").write_text(adapter)
    return [str(folder / "model.pt"), "--from", f"{folder / 'my_adapter.py'}:energies"]
