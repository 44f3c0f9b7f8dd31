"""The command `torchml`: help, version, unknown commands, and errors as one sentence."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import torchml
from torchml import cli
from torchml.errors import DataError, FileError, ModelError, TorchMLError

COMMANDS = (
    "fit",
    "validate",
    "test",
    "predict",
    "submit",
    "export",
    "evaluate",
    "check",
    "inspect",
    "relax",
    "data inspect",
    "data make",
    "data split",
    "data subsample",
    "data convert",
    "data lmdb-check",
)


def test_help_lists_all_commands_in_groups(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert "training:" in lines and "models:" in lines
    for command in COMMANDS:
        assert sum(line.startswith(f"  {command} ") for line in lines) == 1


@pytest.mark.parametrize("words", [["torchml.cli"], ["torchml"]])
def test_version(words):
    done = subprocess.run(
        [sys.executable, "-m", *words, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"torchml {torchml.__version__}\n"


@pytest.mark.parametrize("words", [[], ["trian"]])
def test_an_unknown_command_lists_the_known_ones(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    shown = capsys.readouterr().err
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", ["check", "inspect", "validate"])
def test_a_model_that_is_absent_is_one_sentence(command, capsys):
    assert cli.main([command, "absent.pt"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"torchml {command}: error: ")
    assert "absent.pt" in shown and shown.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileError("no file, expected one"), "no file, expected one"),
        (PermissionError(13, "Permission denied", "model.pt"), "model.pt: Permission denied"),
        (OSError("disk quota exceeded"), "OSError: disk quota exceeded"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_exceptions_become_one_sentence(error, sentence, monkeypatch, capsys):
    def run(options):
        raise error

    monkeypatch.setattr("torchml.inference.inspection.run", run)
    assert cli.main(["inspect", "model.pt"]) == 1
    assert capsys.readouterr().err == f"torchml inspect: error: {sentence}\n"


def test_the_traceback_of_an_unexpected_exception_is_kept(monkeypatch, capsys, tmp_path):
    def run(options):
        raise KeyError("forgotten")

    monkeypatch.setattr("torchml.inference.inspection.run", run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["inspect", "model.pt"]) == 1
    (log,) = tmp_path.iterdir()
    shown = capsys.readouterr().err
    assert shown == (
        f"torchml inspect: error: KeyError: 'forgotten' (unexpected: {log} has the traceback)\n"
    )
    assert 'raise KeyError("forgotten")' in log.read_text()


def test_the_traceback_is_shown_on_request(monkeypatch):
    monkeypatch.setenv("TORCHML_DEBUG", "1")
    with pytest.raises(FileError):
        cli.main(["inspect", "absent.pt"])


def test_errors_have_one_base():
    for kind in (FileError, ModelError, DataError):
        assert issubclass(kind, TorchMLError)
        assert getattr(torchml, kind.__name__) is kind
    assert repr(TorchMLError("why")) == "TorchMLError('why')"
    assert f"{TorchMLError.__module__}.{TorchMLError.__qualname__}" == "torchml.errors.TorchMLError"
    assert type(pickle.loads(pickle.dumps(TorchMLError("why")))) is TorchMLError


def test_the_notice_about_an_absent_gpu_is_silent(capsys, caplog):
    """And nothing else of the same module."""
    cli._silence_other_libraries()
    logger = logging.getLogger("torch.utils.cpp_extension")
    logger.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/usr/local/cuda")
    logger.warning("another warning")
    assert caplog.messages == ["another warning"]


def test_public_names_are_there():
    for name in torchml.__all__:
        assert getattr(torchml, name) is not None
    assert torchml.TorchMLCalculator is torchml.Calculator


def test_types_are_shipped():
    assert (Path(torchml.__file__).parent / "py.typed").is_file()
