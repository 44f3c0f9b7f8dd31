"""`torchml.export_model`: the export as one function."""

from __future__ import annotations

import argparse
import inspect

import pytest
import torch

import torchml
from helpers import networks
from helpers.checkpoints import save
from torchml import TorchMLError
from torchml.contract import metadata
from torchml.export import CheckFailed
from torchml.export.command import add_arguments
from torchml.models import describe, script

pytestmark = pytest.mark.usefixtures("quick_probe")

FOLDER = "PaiNN_SiO__MO_000000000000_000"


@pytest.fixture
def best(tmp_path):
    return save(networks.make("Scaled", dtype="float32"), tmp_path / "best.ckpt")


def test_a_checkpoint_becomes_a_folder(best, tmp_path):
    result = torchml.export_model(
        best, dtype="float32", output=tmp_path / "out", author="A. Nother"
    )
    assert result.folder == tmp_path / "out" / FOLDER
    assert metadata.read(result.folder / "model.pt").dtype == "float32"
    assert "A. Nother" in (result.folder / "kimspec.edn").read_text()
    assert {check.verdict for check in result.checks} == {"pass"}


def test_the_archive_records_where_it_comes_from(best):
    folder = torchml.export_model(
        best,
        dtype="float32",
        author="A. Nother",
        references=["J. Test. 1, 1 (2026)", "arXiv:1234.5678"],
        training_data="quartz, PBE",
    ).folder
    facts = metadata.read(folder / "model.pt")
    assert facts.name == FOLDER
    assert facts.authors == ("A. Nother",)
    assert facts.references == ("J. Test. 1, 1 (2026)", "arXiv:1234.5678")
    assert facts.training_data == "quartz, PBE"
    assert facts.torchml_version == torchml.__version__
    assert facts.receptive_field == 2 * networks.CUTOFF
    assert facts.precision == "float32 network, float64 energies"
    again = torchml.export_model(folder / "model.pt", name="Again", training_data="more").folder
    facts = metadata.read(again / "model.pt")
    assert (facts.name, facts.authors) == ("Again__MO_000000000000_000", ("A. Nother",))
    assert facts.training_data == "more"


def test_keywords_are_the_flags():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    keywords = inspect.signature(torchml.export_model).parameters
    assert list(keywords) == [*flags, "progress"]
    for name, default in flags.items():
        if name not in ("model", "output"):
            assert keywords[name].default == default, name


def test_help_has_four_groups():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    titles = [group.title for group in parser._action_groups if group._group_actions]
    assert titles == [
        "options",
        "model",
        "facts that an archive lacks",
        "conversion",
        "destination",
    ]


def test_a_failed_check_is_an_error_with_all_checks(tmp_path):
    model = networks.make("Scaled")
    facts = {**describe(model, "edges").__dict__, "radial": True}
    metadata.save(script(model, "edges"), tmp_path / "m.pt", metadata.ModelMetadata(**facts))
    with pytest.raises(CheckFailed, match="nothing was written: the check 'edge vectors' failed"):
        torchml.export_model(tmp_path / "m.pt", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_contradict_each_other(best):
    with pytest.raises(TorchMLError, match="expected --compress with it"):
        torchml.export_model(best, tolerance=(1e-3, 1e-3))
    with pytest.raises(TorchMLError, match="the format is 'onnx', expected torchscript"):
        torchml.export_model(best, format="onnx")


def test_a_network_in_memory_is_read_from_disk_by_the_checks_alone(
    best, tmp_path, reads, monkeypatch
):
    def refuse(*args, **options):
        raise AssertionError("the archive was read as TorchScript in this process")

    monkeypatch.setattr(torch.jit, "load", refuse)
    result = torchml.export_model(best, output=tmp_path / "out")
    assert result.folder is not None
    assert reads == ["alone", "engine"]
