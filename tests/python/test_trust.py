"""A file that is opened as a model or as data runs no code of its own, through any entrance.

The files are harmless: read as a pickle, they would leave an empty file behind.
"""

from __future__ import annotations

import argparse
import ast
import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch
from ase.io import write
from torch.package import PackageExporter

import torchml
from helpers import networks
from helpers.argon import labelled_structures, write_config
from helpers.checkpoints import save
from torchml import Calculator, Potential, TorchMLError
from torchml.cli import export_main, main
from torchml.data import read
from torchml.export.opened import opened
from torchml.importers.adapters import adapters
from torchml.importers.opening import load
from torchml.importers.pickles import foreign_names
from torchml.validation import command


class Marker:
    """What opens a file for writing when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def zipped(marker: Marker) -> bytes:
    """A file of torch.save."""
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "torchml": marker}, buffer)
    return buffer.getvalue()


def legacy(marker: Marker) -> bytes:
    """A file of torch.save before version 1.6, which is no zip file."""
    buffer = io.BytesIO()
    torch.save({"weights": marker}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def bare(marker: Marker) -> bytes:
    """A pickle alone, of the newest protocol."""
    return pickle.dumps(marker, protocol=5)


def like_mace(marker: Marker) -> bytes:
    """A file of torch.save that names a class of MACE too."""
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "torchml": marker, "model": None}, buffer)
    plain = pickle.dumps(marker, protocol=2)
    evil = plain[:-1] + b"cmace.modules.models\nScaleShiftMACE\n."
    source = io.BytesIO(buffer.getvalue())
    return _with_pickle(source, evil)


def _with_pickle(source: io.BytesIO, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith("data.pkl") else old.read(name))
    return target.getvalue()


def by_calculator(path: Path) -> None:
    Calculator(path)


def by_potential(path: Path) -> None:
    Potential(path)


def by_export_model(path: Path) -> None:
    torchml.export_model(path, species=["Si"], cutoff=4.0, name="Trust")


def by_command(path: Path) -> None:
    assert export_main([str(path), "--species", "Si", "--cutoff", "4.0", "--name", "Trust"]) == 1
    raise TorchMLError("the command reported its error")


def by_check(path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(path), "--no-lammps"]))


def by_load(path: Path) -> None:
    load(path)


def by_opened(path: Path) -> None:
    with opened(path):
        pass


ENTRANCES = [by_calculator, by_potential, by_export_model, by_command, by_check, by_load, by_opened]
DISGUISES = [".ckpt", ".pt", ".model", ".pth", ".lmdb"]


@pytest.fixture
def marker(tmp_path: Path) -> Marker:
    return Marker(tmp_path / "executed")


@pytest.mark.parametrize("content", [zipped, legacy, bare, like_mace])
@pytest.mark.parametrize("suffix", DISGUISES)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_model_file_runs_nothing(
    entrance: Callable[[Path], None],
    suffix: str,
    content: Callable[[Marker], bytes],
    marker: Marker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content(marker))
    with pytest.raises(TorchMLError) as caught:
        entrance(path)
    assert not marker.path.exists()
    shown = str(caught.value) if entrance is not by_command else capsys.readouterr().err
    assert len(shown.strip().splitlines()) == 1
    assert path.name in shown
    if suffix != ".ckpt":
        assert "--from" in shown and "run any code" in shown


def test_the_marker_marks(marker: Marker) -> None:
    """The files of these tests would be noticed."""
    with pickle.loads(bare(marker)):
        pass
    assert marker.path.exists()


def test_the_sentence_names_the_kind(marker: Marker, tmp_path: Path) -> None:
    path = tmp_path / "water.model"
    path.write_bytes(like_mace(marker))
    with pytest.raises(TorchMLError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path} is a pickle of mace.modules.models.ScaleShiftMACE, which can run any code when it "
        "is read: if you trust its source, export it with '--from mace' (in Python "
        "source='mace')"
    )


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        # SevenNet's settings hold arrays of numpy, which torch does not read as plain values.
        ("sevennet", {"config": {"model_type": "E3_equivariant_model", "scale": np.ones(2)}}),
        ("chgnet", {"model": {"model_args": {"atom_graph_cutoff": 6}}}),
    ],
)
def test_checkpoints_that_name_no_class_of_their_package(kind, content, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    torch.save(content, path)
    package = adapters()[kind].module
    with pytest.raises(TorchMLError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path} is a checkpoint of {package}: if you trust its source, export it with "
        f"'--from {kind}' (in Python source='{kind}')"
    )


@pytest.mark.parametrize("content", [zipped, legacy, bare])
def test_names_in_a_pickle_are_listed_without_reading_it(
    content: Callable[[Marker], bytes], marker: Marker, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    path.write_bytes(content(marker))
    assert foreign_names(path) in (["io.open"], ["_io.open"])
    assert not marker.path.exists()


def test_files_of_tensors_name_nothing_foreign(tmp_path: Path) -> None:
    tensors = {"weights": torch.nn.Linear(2, 2).state_dict(), "half": torch.ones(2).half()}
    for name, new in (("new.pt", True), ("old.pt", False)):
        torch.save(tensors, tmp_path / name, _use_new_zipfile_serialization=new)
        assert foreign_names(tmp_path / name) == []
    (tmp_path / "notes.txt").write_text("no pickle")
    assert foreign_names(tmp_path / "notes.txt") == []
    assert foreign_names(tmp_path / "missing.pt") == []


def test_a_checkpoint_of_a_training_is_never_read_as_a_model_of_another_package(
    tmp_path: Path,
) -> None:
    path = save(networks.make("Scaled"), tmp_path / "best.ckpt")
    with pytest.raises(TorchMLError, match=r"best\.ckpt is a checkpoint of a training of TorchML"):
        torchml.export_model(path, source="mace")


def test_a_torch_package_is_refused_with_its_kind(tmp_path: Path) -> None:
    """As nequip's `.nequip.zip`: it carries source code, which runs when it is read."""
    with PackageExporter(tmp_path / "trained.nequip.zip") as package:
        package.save_source_string("own", "open('executed', 'w')")
        package.save_pickle("model", "model.pkl", {})
    with pytest.raises(TorchMLError, match=r"trained.nequip.zip is a torch.package, .*--from nequ"):
        load(tmp_path / "trained.nequip.zip")
    with pytest.raises(TorchMLError, match=r"trained.nequip.zip is a torch.package, .*--from nequ"):
        Potential(tmp_path / "trained.nequip.zip")


def test_kinds_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TorchMLError, match=r"is 'gap', expected .*mace.* \| FILE.py:function"):
        load(tmp_path / "model.pt", "gap")


@pytest.mark.parametrize("content", [zipped, legacy, bare, like_mace])
@pytest.mark.parametrize("suffix", [".ckpt", ".pt"])
def test_a_training_goes_on_from_no_such_file(
    suffix: str,
    content: Callable[[Marker], bytes],
    marker: Marker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "argon.extxyz", labelled_structures(20))
    config = write_config(tmp_path / "argon.extxyz", tmp_path)
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(content(marker))
    assert main(["fit", "--config", str(config), "--ckpt_path", str(path)]) != 0
    assert not marker.path.exists()
    assert f"evil{suffix}" in capsys.readouterr().err


@pytest.mark.parametrize("content", [zipped, legacy, bare])
def test_rows_of_data_run_nothing(
    content: Callable[[Marker], bytes], marker: Marker, tmp_path: Path
) -> None:
    row = {"pos": np.zeros((1, 3)), "atomic_numbers": np.ones(1)}
    environment = lmdb.open(str(tmp_path / "rows.lmdb"), subdir=False, lock=False, map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        transaction.put(b"0", pickle.dumps(row))
        transaction.put(b"1", content(marker))
    environment.close()
    found = read(tmp_path / "rows.lmdb")
    assert len(found[0].numbers) == 1
    with pytest.raises(TorchMLError, match=r"rows\.lmdb"):
        found[1]
    assert not marker.path.exists()


def test_opening_a_model_leaves_mace_out_of_the_process(marker: Marker, tmp_path: Path) -> None:
    """Importing MACE would let torch.load run any pickle from then on."""
    path = tmp_path / "water.model"
    path.write_bytes(like_mace(marker))
    program = (
        "import os, sys, torchml\n"
        "try: torchml.export_model(sys.argv[1], source='mace')\n"
        "except torchml.TorchMLError as error: print(error)\n"
        "assert not {'mace', 'e3nn'} & set(sys.modules)\n"
        "assert 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' not in os.environ\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_every_call_of_torch_load_says_what_it_reads() -> None:
    """Its default can be switched off for a whole process, and is by e3nn."""
    root = Path(__file__).parents[2]
    silent = [
        f"{path.relative_to(root)}:{node.lineno}"
        for folder in ("python", "tests", "benchmarks", "examples")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "torch.load"
        and "weights_only" not in {word.arg for word in node.keywords}
    ]
    assert silent == []
