"""Which forms an export writes, and what remains where one of them cannot be made."""

from __future__ import annotations

import pytest
import torch

import torchml
from helpers import committees, networks
from helpers.checkpoints import save
from torchml import TorchMLError
from torchml.contract import metadata
from torchml.export import forms, pipeline
from torchml.importers import opening
from torchml.models import Sum, describe, script

pytestmark = pytest.mark.usefixtures("quick_probe")

REASON = "no C++ compiler was found, expected g++"


@pytest.fixture
def best(tmp_path):
    return save(networks.make("Scaled").eval(), tmp_path / "best.ckpt")


@pytest.fixture
def by_default(monkeypatch):
    """The choice of users; the other tests set the format."""
    monkeypatch.delenv(forms.VARIABLE)


@pytest.fixture
def compiler(monkeypatch):
    """A machine that has what is needed."""
    monkeypatch.setattr(forms, "require_compiler", lambda: None)
    monkeypatch.setattr(forms, "target_of", lambda _: None)


def refuse(*_args, **_options):
    raise TorchMLError(REASON)


def noted(result) -> str:
    """What an export says about the forms that it left out."""
    (note,) = [check for check in result.checks if check.name == "forms"]
    assert note.verdict == "pass"
    return note.detail


def files_of(result) -> set[str]:
    return {file.name for file in result.folder.iterdir() if file.stem == "model"}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: networks.make("PaiNN"), forms.Forms("both", automatic=True)),
        (lambda: None, forms.Forms("torchscript", automatic=True)),
        (lambda: committees.committee(2), "does not show the members"),
        (lambda: Sum([networks.make("PaiNN")]), "does not show the parts"),
    ],
)
def test_the_choice_is_both_where_nothing_is_lost(make, expected, by_default, compiler):
    found = forms.choose(None, make())
    if isinstance(expected, str):
        assert found.format == "torchscript"
        assert expected in found.note
    else:
        assert found == expected


def test_named_forms_are_kept(compiler):
    model = networks.make("PaiNN")
    for name in forms.FORMATS:
        assert forms.choose(name, model) == forms.Forms(name)
    assert forms.choose(None, model, compiled=True) == forms.Forms("both")


def test_the_environment_names_forms(monkeypatch):
    model = networks.make("PaiNN")
    for name in forms.FORMATS:
        monkeypatch.setenv(forms.VARIABLE, name)
        assert forms.choose(None, model) == forms.Forms(name)
    monkeypatch.setenv(forms.VARIABLE, "onnx")
    with pytest.raises(TorchMLError, match="TORCHML_FORMAT is 'onnx', expected torchscript"):
        forms.choose(None, model)


def test_without_a_compiler_it_is_torchscript(best, by_default, monkeypatch):
    """Without asking torch, which raises an error of its own."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(forms, "target_of", lambda _: pytest.fail("torch was asked"))
    result = torchml.export_model(best)
    assert noted(result).startswith("TorchScript alone: no C++ compiler was found")
    assert files_of(result) == {"model.pt", "model.param"}


def test_what_cannot_be_compiled_is_torchscript(best, by_default, compiler, monkeypatch):
    monkeypatch.setattr(pipeline, "compile_module", refuse)
    result = torchml.export_model(best)
    assert noted(result) == f"TorchScript alone: {REASON}"
    assert files_of(result) == {"model.pt", "model.param"}
    assert metadata.read(result.folder / "model.pt").inputs is None
    with pytest.raises(TorchMLError, match="no C"):  # where it is asked for, it is an error
        torchml.export_model(best, format="both", name="Other")


def test_a_compiled_archive_that_fails_a_check_is_left_out(best, by_default, compiler, monkeypatch):
    """Here another model takes its place."""

    def compile_another(module, facts, output, **_options):
        other = networks.make("Scaled")
        other.set_normalization({"Si": 1.0, "O": 1.0}, 0.7)
        metadata.save(script(other.double(), "edges"), output, describe(other, "edges"))
        return facts

    monkeypatch.setattr(pipeline, "compile_module", compile_another)
    result = torchml.export_model(best)
    assert "TorchScript alone: the compiled archive failed its check" in noted(result)
    assert files_of(result) == {"model.pt", "model.param"}
    assert [check.verdict for check in result.checks].count("fail") == 0


def test_without_torchscript_the_compiled_archive_remains(best, monkeypatch):
    """As on a Python that TorchScript does not support; the compiler gets the network alone."""

    def unsupported(*_args, **_options):
        raise RuntimeError("Python 3.99+ not yet supported for torch.jit.script")

    given = []

    def compile_nothing(module, *_args, network, **_options):
        given.append((module, network))
        raise TorchMLError("that far")

    monkeypatch.setattr(opening, "script", unsupported)
    monkeypatch.setattr(pipeline, "compile_module", compile_nothing)
    with pytest.raises(TorchMLError, match="that far"):
        torchml.export_model(best, format="both")
    ((module, network),) = given
    assert module is None
    assert network is not None
    with pytest.raises(TorchMLError, match=r"cannot become TorchScript \(Python 3\.99"):
        torchml.export_model(best, format="torchscript")


class Commented(torch.nn.Module):
    """TorchScript takes a comment for a type if it names two errors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = 2 * x  # type: ignore[assignment, misc]
        return y


def test_the_line_that_torchscript_refuses_is_shown(best, monkeypatch):
    monkeypatch.setattr(opening, "script", lambda *_: torch.jit.script(Commented()))
    with pytest.raises(TorchMLError, match=r"\(expected type comment .* here: y = 2 \* x  # type"):
        torchml.export_model(best, format="torchscript")
