"""The `.param` file: KLIFF's layout, as the original driver and ours read it."""

from __future__ import annotations

import pytest

import torchml._core as core
from torchml.contract import param_file
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError

KLIFF_GRAPH = """\
# Number of species
2
Si O

# Preprocessing kind
Graph

# Cutoff and n_conv layers
4.0
3

# Model
model.pt

# Returns Forces
False
# Number of inputs
6

# Any descriptors?
None
"""


def facts(**changes):
    values = {"convention": "graph", "species": ("Si", "O"), "cutoff": 4.0, "layers": 3}
    return ModelMetadata(**{**values, **changes})


def read_as_the_original_driver(text):
    """Its line-by-line logic: one blank line is eaten before each section, then comments."""
    lines = iter(text.split("\n"))

    def section():
        line = next(lines)
        while line.startswith("#"):
            line = next(lines)
        return line

    values = {"count": int(section()), "species": next(lines)}
    next(lines)
    values["preprocessing"] = section().lower()
    next(lines)
    values["cutoff"] = float(section())
    if values["preprocessing"] == "graph":
        values["layers"] = int(next(lines))
    next(lines)
    values["model"] = section()
    next(lines)
    values["returns_forces"] = section().lower() == "true"
    next(lines)
    values["inputs"] = int(section())
    return values


def test_graph_file_is_that_of_kliff():
    assert param_file.render(facts(), "model.pt", 6) == KLIFF_GRAPH


@pytest.mark.parametrize("convention", ["none", "graph"])
@pytest.mark.parametrize("returns_forces", [False, True])
def test_original_driver_understands_it(convention, returns_forces):
    metadata = facts(convention=convention, returns_forces=returns_forces, cutoff=0.1 + 0.2)
    values = read_as_the_original_driver(param_file.render(metadata, "m.pt", 5))
    assert values.pop("layers", 3) == 3
    assert values == {
        "count": 2,
        "species": "Si O",
        "preprocessing": convention,
        "cutoff": 0.1 + 0.2,
        "model": "m.pt",
        "returns_forces": returns_forces,
        "inputs": 5,
    }


@pytest.mark.parametrize("convention", ["none", "graph", "edges"])
def test_our_driver_understands_it(tmp_path, convention):
    metadata = facts(convention=convention, layers=1 if convention == "none" else 3)
    path = tmp_path / "model.param"
    path.write_text(param_file.render(metadata, "model.pt", 6))
    values = core.read_param_file(str(path))
    assert values["model"] == "model.pt"
    assert values["number_of_inputs"] == "6"
    assert values["convention"] == ("raw" if convention == "none" else convention)
    assert values["species"] == "Si O"
    assert float(values["cutoff"]) == 4.0
    assert int(values.get("layers") or 1) == metadata.layers


@pytest.mark.parametrize("key", ["convention", "species", "cutoff", "layers", "descriptor"])
def test_missing_facts_are_named(key):
    said = {"convention": "descriptor", "layers": 1, "descriptor": "SOAP"}
    with pytest.raises(TorchMLError, match=f"the metadata lack '{key}', expected it for"):
        param_file.render(facts(**{**said, key: None}), "model.pt", 1)


def test_the_kind_of_a_descriptor_ends_the_file(tmp_path):
    metadata = facts(convention="descriptor", layers=1, descriptor="Bispectrum")
    text = param_file.render(metadata, "m.pt", 1)
    assert text.endswith("# Number of inputs\n1\n\n# Any descriptors?\nBispectrum\n")
    values = read_as_the_original_driver(text)
    assert (values["preprocessing"], values["model"], values["inputs"]) == ("descriptor", "m.pt", 1)
    (tmp_path / "model.param").write_text(text)
    ours = core.read_param_file(str(tmp_path / "model.param"))
    assert (ours["convention"], ours["descriptor"]) == ("descriptor", "Bispectrum")
