"""The process that reads a model of another package: what it needs, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from torchml import Potential
from torchml.cli import main
from torchml.errors import FileError
from torchml.importers import adapters
from torchml.importers.adapters import Adapter, kind_of
from torchml.importers.foreign import read, write_reader
from torchml.importers.reading.source import Wish


def test_an_environment_without_torch_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty/bin/python"
    with pytest.raises(FileError) as caught:
        read("mace", Wish("water.model"), python)
    assert str(caught.value) == (
        f"reading a model of mace needs 'torch', which {python} cannot import; make an environment "
        "that can with 'python -m venv DIR' and 'DIR/bin/pip install torch mace-torch==0.3.16', "
        "then add '--python DIR/bin/python'"
    )
    with pytest.raises(FileError, match="none/python: no such program, expected the Python of"):
        read("mace", Wish("water.model"), tmp_path / "none/python")


def test_a_missing_package_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    """In this environment, with the package hidden."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'mace': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    request = tmp_path / "request"
    request.write_text(
        '{"kind": "mace", "install": ["mace-torch"], "wish": {"model": "water.model"}, "radii": {}}'
    )
    reader, output = write_reader(tmp_path / "reader.pyz"), tmp_path / "output"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run(
        [sys.executable, reader, request, output], env={**os.environ, "PYTHONPATH": path}
    )
    sentence = Path(f"{output}.error").read_text()
    assert sentence.startswith("reading a model of mace needs 'mace', which ")
    assert "'DIR/bin/pip install mace-torch'" in sentence


def test_head_and_python_need_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["export"], ["check"]):
        assert main([*command, "water.model", "--head", "pbe"]) == 1
        assert "--head and --python are for models of other packages" in capsys.readouterr().err
    for options in ({"head": "pbe"}, {"python": "python3"}):
        with pytest.raises(TypeError, match="are for models of other packages, expected source"):
            Potential("water.model", **options)


def test_what_adapters_declare() -> None:
    found = adapters.adapters()
    assert list(found) == sorted(found)
    assert found["mace"] == Adapter(
        "mace",
        "mace",
        ("torch", "mace-torch==0.3.16"),
        "models that MACE saved (torch.save of the module)",
        "network",
    )
    for adapter in found.values():
        assert adapter.install and adapter.reads, adapter.kind
        assert adapter.way in ("network", "graph", "refused"), adapter.kind


def test_the_kind_of_a_pickle() -> None:
    assert kind_of(["torch.nn.Linear", "mace.modules.models.MACE"]) == (
        "mace.modules.models.MACE",
        "mace",
    )
    assert kind_of(["torch.nn.Linear", "macedonia.Model"]) is None


def test_the_command_lists_the_packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["importers"]) == 0
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in adapters.adapters())
    venv.create(tmp_path / "empty", with_pip=False)
    assert main(["importers", "--python", str(tmp_path / "empty/bin/python")]) == 0
    assert capsys.readouterr().out.count("not installed") == len(adapters.adapters())
