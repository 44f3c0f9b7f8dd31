"""`torchml inspect`: metadata, provenance and files, without loading the model."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace

import pytest
import torch

from torchml import cli
from torchml.contract import metadata
from torchml.errors import FileError, TorchMLError
from torchml.inference.inspection import inspect_model

PROVENANCE = {
    "name": "SW_Si",
    "authors": ("Ada Lovelace", "C. Babbage"),
    "references": ("Phys. Rev. B 31, 5262 (1985)",),
    "receptive_field": 3.77,
}


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(torch.jit, "load", load)


@pytest.fixture
def archive(example, tmp_path):
    """An archive with provenance, written without torch."""
    source = example("sw", "graph").archive
    facts = replace(metadata.read(source), **PROVENANCE)
    path = tmp_path / "model.pt"
    shutil.copy(source, path)
    with zipfile.ZipFile(path, "a") as file:
        for name, text in facts.to_extra_files().items():
            if name.startswith("torchml_provenance/"):
                file.writestr(f"model/extra/{name}", text)
    return path


def test_an_archive(archive):
    found = inspect_model(archive)
    assert found.kind == "TorchScript archive"
    assert found.metadata["convention"] == "graph"
    assert found.metadata["stage_edges"] == "directed"
    assert found.metadata["species"] == "Si"
    assert found.metadata["authors"] == "Ada Lovelace\nC. Babbage"
    assert found.metadata["receptive_field"] == "3.77"
    assert found.files["code/"] > 0 and found.files["constants.pkl"] > 0


def test_the_folder_of_a_portable_model(example):
    model = example("schnet", "edges")
    found = inspect_model(model.folder)
    assert found.kind == "portable model"
    assert found.metadata.items() >= inspect_model(model.archive).metadata.items()
    assert found.metadata["number_of_inputs"] == "6"
    assert found.files == {file.name: file.stat().st_size for file in model.folder.iterdir()}


def test_a_folder_that_contradicts_itself(example, tmp_path):
    folder = shutil.copytree(example("sw", "graph").folder, tmp_path / "model")
    (param,) = folder.glob("*.param")
    param.write_text(param.read_text().replace("Si", "Ge"))
    with pytest.raises(TorchMLError, match=r"'species' is 'Si' in .* but 'Ge' in .*\.param"):
        inspect_model(folder)


def test_the_command(archive, capsys):
    assert cli.main(["inspect", str(archive)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{archive}: TorchScript archive"
    words = [line.split() for line in lines]
    assert ["stage_edges", "directed"] in words
    assert words.index(["provenance"]) < words.index(["name", "SW_Si"]) < words.index(["files"])
    first = words.index(["authors", "Ada", "Lovelace"])
    assert words[first + 1] == ["C.", "Babbage"]


def test_files_of_other_kinds_are_named(tmp_path):
    (tmp_path / "model.pt").write_text("not a model")
    with pytest.raises(FileError, match=r"model\.pt is not a readable archive .* expected a \.pt"):
        inspect_model(tmp_path / "model.pt")
    with pytest.raises(FileError, match=r"Nothing: no such file, folder or installed KIM model"):
        inspect_model("Nothing")


def test_an_archive_without_metadata(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as file:
        file.writestr("model/constants.pkl", b"")
    assert cli.main(["inspect", str(tmp_path / "model.pt")]) == 0
    assert "metadata\n  none\n" in capsys.readouterr().out
