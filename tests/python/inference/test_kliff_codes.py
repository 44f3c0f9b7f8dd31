"""Species codes of models that KLIFF wrote: ranks by atomic number, in whatever order listed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from ase import Atoms

from helpers import portable
from torchml import Potential
from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata

# The energy of each atom is its code.
BODY = "    return species.to(coords.dtype) * self.scale\n"


def write(folder, species, param="kliff_graph.param", body=BODY):
    """A folder as KLIFF's save_kim_model() writes it."""
    folder.mkdir()
    portable.save_graph_model(body, folder / "model.pt")
    listed = f"{len(species)}\n{' '.join(species)}"
    (folder / param).write_text(portable.GRAPH_PARAM.replace("1\nSi", listed, 1))
    return folder


def codes(model, symbols):
    """The codes that the model gets."""
    atoms = Atoms(symbols, positions=[[2.0 * k, 0, 0] for k in range(len(symbols))])
    return Potential(model).evaluate(atoms, particle_energies=True).particle_energies.tolist()


@pytest.mark.parametrize(
    ("species", "expected"),
    [
        (["Si", "C"], {"C": 0, "Si": 1}),
        (["C", "Si"], {"C": 0, "Si": 1}),
        (["O", "Si", "H"], {"H": 0, "O": 1, "Si": 2}),
        (["Cu", "Au", "Ag", "Al"], {"Al": 0, "Cu": 1, "Ag": 2, "Au": 3}),
        (["Si"], {"Si": 0}),
    ],
)
def test_are_ranks_by_atomic_number(species, expected, tmp_path):
    assert codes(write(tmp_path / "model", species), list(expected)) == list(expected.values())


def test_other_files_keep_their_order(tmp_path):
    assert codes(write(tmp_path / "named", ["Si", "C"], "model.param"), ["Si", "C"]) == [0, 1]
    folder = write(tmp_path / "described", ["Si", "C"])
    with metadata.quiet_torchscript():
        module = torch.jit.load(folder / "model.pt")
    metadata.save(
        module, folder / "model.pt", ModelMetadata(convention="graph", species=["Si", "C"])
    )
    assert codes(folder, ["Si", "C"]) == [0, 1]


@pytest.mark.parametrize(
    ("symbols", "contradicts"),
    [(["Si"], "Si"), (["O", "Si"], "O"), (["H", "Si"], "Si"), (["H", "O"], ""), (["H"], "")],
)
def test_a_sentence_says_where_kliff_contradicts_itself(symbols, contradicts, tmp_path):
    folder = write(tmp_path / "model", ["Si", "O", "H"])
    script = (
        "from ase import Atoms; from torchml import Potential\n"
        f"potential = Potential({str(folder)!r})\n"
        f"atoms = Atoms({symbols}, positions=[[2.0 * k, 0, 0] for k in range({len(symbols)})])\n"
        "potential.evaluate(atoms)\npotential.evaluate(atoms)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    sentence = f"KLIFF gave {contradicts} in a configuration of these elements another species code"
    assert done.stderr.count(sentence) == bool(contradicts)
    assert bool(done.stderr) == bool(contradicts)
