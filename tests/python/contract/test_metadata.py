"""Metadata in model archives: it comes back as written, and nonsense is named."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from torchml.contract import keys, metadata
from torchml.contract.metadata import MetadataKeywords, ModelMetadata
from torchml.errors import TorchMLError
from torchml.models import StillingerWeber, script

FULL = ModelMetadata(
    convention="graph",
    species=("Si", "O"),
    cutoff=0.1 + 0.2,
    layers=3,
    dtype="float32",
    species_input="atomic_number",
    stage_edges="directed",
    returns_forces=True,
    radial=False,
    extensions=("torch_scatter", "/opt/lib/ops.so"),
    name="MyModel_SiO",
    authors=("Ada Lovelace", "C. Babbage"),
    references=("J. Chem. Phys. 1, 2 (1999)",),
    training_data="silica, 1000 structures",
    torchml_version="0.1.0",
    receptive_field=7.5,
    precision="float32, sums in float64",
)


@pytest.fixture(scope="module")
def module():
    return script(StillingerWeber(), "edges")


@pytest.mark.parametrize("facts", [FULL, ModelMetadata(), ModelMetadata(cutoff=4.0)])
def test_archive_brings_back_what_was_written(tmp_path, module, facts):
    path = tmp_path / "new folder" / "model.pt"
    metadata.save(module, path, facts)
    assert metadata.read(path) == facts
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pt"]


def test_torch_reads_the_keys_too(tmp_path, module):
    metadata.save(module, tmp_path / "model.pt", FULL)
    wanted = {"torchml/cutoff": "", "torchml/species": "", "torchml/unheard_of": ""}
    with metadata.quiet_torchscript():
        torch.jit.load(tmp_path / "model.pt", _extra_files=wanted)
    as_text = {k: v.decode() if isinstance(v, bytes) else v for k, v in wanted.items()}
    assert as_text == {
        "torchml/cutoff": "0.30000000000000004",
        "torchml/species": "Si O",
        "torchml/unheard_of": "",
    }


def test_archive_without_metadata_has_none(tmp_path, module):
    with metadata.quiet_torchscript():
        module.save(str(tmp_path / "plain.pt"))
    assert metadata.read(tmp_path / "plain.pt") is None


def test_failed_save_leaves_the_old_file(tmp_path, module):
    path = tmp_path / "model.pt"
    metadata.save(module, path, FULL)
    before = path.read_bytes()

    class Unwritable:
        def save(self, target, _extra_files):
            with open(target, "w") as file:
                file.write("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        metadata.save(Unwritable(), path, FULL)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("format", "2", "'format' is '2' in {path}, expected 1, the only metadata format"),
        ("cutoff", "four", "'cutoff' is 'four' in {path}, expected a positive number of Å"),
        ("cutoff", "-1.0", "'cutoff' is '-1.0' in {path}, expected a positive number of Å"),
        ("cutoff", "nan", "'cutoff' is 'nan' in {path}, expected a positive number of Å"),
        ("layers", "2.5", "'layers' is '2.5' in {path}, expected an integer of at least 0"),
        ("layers", "-1", "'layers' is '-1' in {path}, expected an integer of at least 0"),
        ("convention", "rad", "'convention' is 'rad' in {path}, expected one of raw, graph, edges"),
        ("dtype", "float16", "'dtype' is 'float16' in {path}, expected one of float32, float64"),
        ("radial", "yes", "'radial' is 'yes' in {path}, expected true or false"),
        ("species", "Si Si", "'species' is 'Si Si' in {path}, expected each species once"),
        ("colour", "blue", "unknown key 'colour' in {path}, expected one of format, convention"),
    ],
)
def test_nonsense_is_named_with_file_and_key(tmp_path, key, text, message):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in {"format": "1", key: text}.items():
            archive.writestr(f"model/extra/torchml/{name}", value)
    with pytest.raises(TorchMLError) as caught:
        metadata.read(path)
    assert str(caught.value).startswith(message.format(path=path))


def test_files_that_are_no_archives_are_named(tmp_path):
    (tmp_path / "text.pt").write_text("not a model")
    for name, message in (("text.pt", "not a readable"), ("absent.pt", "no such file")):
        with pytest.raises(TorchMLError, match=f"{name}: {message}"):
            metadata.read(tmp_path / name)


# --- One table of keys ----------------------------------------------------------------------------


def test_the_fields_are_the_keys_of_the_table():
    table = [key.name for key in keys.metadata_keys() if key.place != "param"]
    assert ["format", *(field.name for field in dataclasses.fields(ModelMetadata))] == table


def test_the_types_of_the_fields_are_those_of_the_table():
    kinds = {
        "string": "str",
        "choice": "str",
        "number": "float",
        "integer": "int",
        "flag": "bool",
        "list": "tuple[str, ...]",
        "lines": "tuple[str, ...]",
    }
    for field in dataclasses.fields(ModelMetadata):
        assert field.type == f"{kinds[keys.find_key(field.name).kind]} | None", field.name


def test_keywords_are_the_keys_that_an_archive_may_lack():
    compiled = {"inputs", "device", "instruction_set", "torch"}
    table = [key.name for key in keys.metadata_keys() if key.place == "archive"]
    assert list(MetadataKeywords.__annotations__) == [
        name for name in table if name not in {"format", *compiled}
    ]


def test_the_documentation_lists_the_keys():
    page = Path(__file__).parents[3] / "docs" / "conventions.md"
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", page.read_text(), re.MULTILINE))
    for key in keys.metadata_keys():
        if key.place == "param":
            continue
        assert key.name in rows
        assert all(f"`{word}`" in rows[key.name] for word in (*key.aliases, *key.choices))


def test_older_names_are_read_and_written(tmp_path, module):
    """An archive whose keys have an older name can be read by drivers of that time."""
    facts = ModelMetadata(convention="none", stage_edges="directed")
    assert facts.convention == "raw"
    files = facts.to_extra_files()
    assert files["torchml/convention"] == "none"
    assert files["torchml/edges"] == "directed"
    assert ModelMetadata.from_extra_files(files, "m.pt") == facts
    present = {"convention": "raw", "stage_edges": "directed"}
    assert ModelMetadata.from_fields(present) == facts


def test_provenance_is_where_older_drivers_do_not_look():
    files = FULL.to_extra_files()
    assert files["torchml_provenance/authors"] == "Ada Lovelace\nC. Babbage"
    known = {"name", "authors", "references", "training_data", "torchml_version"}
    assert not any(f"torchml/{key}" in files for key in known)


def test_keywords_of_a_call():
    facts = ModelMetadata.from_keywords(
        {"species": "Si", "cutoff": np.float64(4), "layers": 2, "edges": "directed"}
    )
    assert facts == ModelMetadata(species=("Si",), cutoff=4.0, layers=2, stage_edges="directed")
    with pytest.raises(TypeError, match=r"unknown keyword 'cutof', expected one of convention, sp"):
        ModelMetadata.from_keywords({"cutof": 4.0})
