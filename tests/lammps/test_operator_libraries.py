"""Models that need torch-scatter run in simulators that never heard of Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch_scatter  # noqa: F401  (registers the operators that the model is compiled with)

from helpers import portable
from helpers.portable import relative
from torchml import kim
from torchml.contract import metadata
from torchml.validation.lammps import evaluate_with_lammps

PLAIN = """
    source, target = edge_index0[0], edge_index0[1]
    r = (coords[source] - coords[target]).square().sum(1).sqrt()
    pairs = self.scale * (1.0 + torch.cos(0.25 * 3.141592653589793 * r))
    return torch.zeros_like(coords[:, 0]).index_add(0, target, pairs)
"""


class Model(torch.nn.Module):
    """The same with torch_scatter, which wants sorted targets: the directed edges are sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        edge_index0: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        source, target = edge_index0[0], edge_index0[1]
        r = (coords[source] - coords[target]).square().sum(1).sqrt()
        pairs = self.scale * (1.0 + torch.cos(0.25 * 3.141592653589793 * r))
        return torch.ops.torch_scatter.segment_sum_coo(pairs, target, None, coords.size(0))


def install(folder: Path, name: str, archive: Path) -> str:
    full = kim.model_name(name)
    portable.write_folder(
        folder / full, {"model.pt": archive, "model.param": portable.GRAPH_PARAM}, ["Si"]
    )
    kim.install(folder / full, "environment")
    return full


@pytest.mark.parametrize("extensions", [("torch_scatter",), ()], ids=["named", "unnamed"])
def test_torch_scatter_in_lammps(extensions, tmp_path, collection):
    said = metadata.ModelMetadata(
        convention="graph",
        species=("Si",),
        cutoff=4.0,
        layers=1,
        stage_edges="directed",
        extensions=extensions,
    )
    with metadata.quiet_torchscript():
        metadata.save(torch.jit.script(Model()), tmp_path / "scatter.pt", said)
    portable.save_graph_model(PLAIN, tmp_path / "plain.pt")
    found, expected = (
        evaluate_with_lammps(
            install(tmp_path, f"{kind.title()}{len(extensions)}", tmp_path / f"{kind}.pt"),
            [portable.silicon()],
            ["Si"],
        )[0]
        for kind in ("scatter", "plain")
    )
    assert abs(expected.energy) > 1.0
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert relative(found.forces, expected.forces) < 1e-12
