"""Metadata in model archives: it comes back as written, and nonsense is named."""

from __future__ import annotations

import zipfile

import pytest
import torch

from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.models import StillingerWeber, script

FULL = ModelMetadata(
    convention="graph",
    species=("Si", "O"),
    cutoff=0.1 + 0.2,
    layers=3,
    dtype="float32",
    species_input="atomic_number",
    edges="directed",
    returns_forces=True,
    radial=False,
    extensions=("torch_scatter", "/opt/lib/ops.so"),
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
        ("format", "2", "torchml/format is '2', this version reads format 1"),
        ("cutoff", "four", "torchml/cutoff is 'four', expected a number"),
        ("cutoff", "-1.0", "torchml/cutoff is -1.0, expected a positive length"),
        ("cutoff", "nan", "torchml/cutoff is nan, expected a positive length"),
        ("layers", "2.5", "torchml/layers is '2.5', expected a whole number"),
        ("layers", "0", "torchml/layers is 0, expected at least 1"),
        ("convention", "raw", "torchml/convention is 'raw', expected none | graph"),
        ("dtype", "float16", "torchml/dtype is 'float16', expected float32 | float64"),
        ("radial", "yes", "torchml/radial is 'yes', expected true | false"),
        ("species", "Si Si", "torchml/species is 'Si Si': a symbol occurs twice"),
        ("colour", "blue", "torchml/metadata key 'colour' is unknown"),
    ],
)
def test_nonsense_is_named_with_file_and_key(tmp_path, key, text, message):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in {"format": "1", key: text}.items():
            archive.writestr(f"model/extra/torchml/{name}", value)
    with pytest.raises(TorchMLError) as caught:
        metadata.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_files_that_are_no_archives_are_named(tmp_path):
    (tmp_path / "text.pt").write_text("not a model")
    for name, message in (("text.pt", "not a readable"), ("absent.pt", "no such file")):
        with pytest.raises(TorchMLError, match=f"{name}: {message}"):
            metadata.read(tmp_path / name)
