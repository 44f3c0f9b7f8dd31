"""The examples of README.md and docs/*.md run as they stand.

Each page runs from top to bottom in one folder, and its ```python blocks in one namespace:

* ```python and ```sh blocks run; `<!-- not run: REASON -->` in the line before a block leaves it
  out, and `<!-- needs: PROGRAM OR MODULE, ... -->` does where one of these is not installed;
* a block of another language whose first line is a comment with the name of a file
  (`# silicon.yaml`) becomes this file.

The folder contains a little data (silicon.extxyz, test.extxyz) and small models (model.pt, and
mace.model where MACE is installed). Trainings stop after two epochs, continued ones after three.
KIM-API's user collection is one of the test.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write

from torchml.contract import metadata
from torchml.models import SchNet, describe, script

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILE = re.compile(r"#\s*(?P<name>[\w.-]+\.\w+)\b")
BLOCK = re.compile(
    r"^(?:<!-- *(?P<mark>needs|not run): *(?P<text>[^>]*?) *-->\n)?"
    r"(?P<fence>```+)(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: language, code, its first line in the page, and the mark before it."""

    language: str
    code: str
    line: int
    mark: str | None
    text: str

    @property
    def runs(self) -> bool:
        return self.language in ("python", "sh")

    def missing(self) -> list[str]:
        """The programs and modules of `needs` that are not installed."""
        names = self.text.split(", ") if self.mark == "needs" else []
        return [n for n in names if not (shutil.which(n) or importlib.util.find_spec(n))]


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            found["language"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found["mark"],
            found["text"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


@pytest.fixture
def folder(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the examples, which is the working directory."""
    kinds = ("model-drivers", "portable-models", "simulator-models")
    user = {kind: scratch / "kim" / kind for kind in kinds}
    for path in user.values():
        path.mkdir(parents=True)
    configuration = scratch / "kim" / "config"
    configuration.write_text("".join(f"{name}-dir = {path}\n" for name, path in user.items()))
    monkeypatch.setenv("KIM_API_CONFIGURATION_FILE", str(configuration))
    for name in ("ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM", "MCA_rmaps_base_oversubscribe"):
        monkeypatch.setenv(f"OMPI_{name}", "1")
    write_data(scratch / "silicon.extxyz", count=10, seed=1)
    write_data(scratch / "test.extxyz", count=2, seed=2)
    if importlib.util.find_spec("mace"):
        from helpers.mace_models import random_mace

        torch.save(random_mace(["Si", "O"]), scratch / "mace.model")
    return scratch


def write_data(path: Path, count: int, seed: int) -> None:
    """Rattled silicon with the energies and forces of a Lennard-Jones potential."""
    generator = np.random.default_rng(seed)
    structures = [bulk("Si", cubic=True) for _ in range(count)]
    for atoms in structures:
        atoms.positions += generator.normal(scale=0.05, size=(len(atoms), 3))
        atoms.calc = LennardJones(sigma=2.1, epsilon=1.0, rc=5.0, smooth=True)
        atoms.get_forces()
    write(path, structures)


def write_model(path: Path, layers: int) -> None:
    torch.manual_seed(3)
    model = SchNet(["Si"], cutoff=4.0, layers=layers, features=8, gaussians=8)
    metadata.save(script(model, "edges"), path, describe(model, "edges"))


def write_file(block: Block, folder: Path) -> None:
    """The file that a block contains; a configuration of a training becomes a short one."""
    name = FILE.match(block.code)
    if block.runs or name is None:
        return
    text = block.code
    if block.language == "yaml" and "train" in (yaml.safe_load(text).get("data") or {}):
        text += "trainer: {max_epochs: 2, accelerator: cpu}\n"
    (folder / name["name"]).write_text(text)


def run(block: Block, page: Path, names: dict[str, Any]) -> None:
    if block.language == "sh":
        code = re.sub(r"(--trainer\.max_epochs) \d+", r"\1 3", block.code)
        finished = subprocess.run(
            ["bash", "-ec", code], capture_output=True, text=True, timeout=900, env=os.environ
        )
        report = f"{page.name}:{block.line}\n{finished.stdout[-3000:]}{finished.stderr[-3000:]}"
        assert finished.returncode == 0, report
    else:
        # Empty lines, so that tracebacks show the line in the page.
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, folder: Path) -> None:
    found = blocks(page)
    write_model(folder / "model.pt", layers=3 if "--layers 3" in page.read_text() else 2)
    for block in found:
        write_file(block, folder)
    names: dict[str, Any] = {"__name__": "__example__"}
    left_out = []
    for block in found:
        if missing := block.missing():
            left_out.append(f"{page.name}:{block.line} needs {', '.join(missing)}")
        elif block.runs and block.mark != "not run":
            run(block, page, names)
    if left_out:
        pytest.skip("; ".join(left_out))


def test_few_examples_are_left_out_and_each_has_a_reason() -> None:
    marked = [block for page in PAGES for block in blocks(page) if block.mark == "not run"]
    assert len(marked) <= 3
    assert all(block.runs and len(block.text) > 10 for block in marked)


def test_every_mark_stands_before_a_block() -> None:
    for page in PAGES:
        marks = re.findall(r"^<!-- *(?:needs|not run):", page.read_text(), re.MULTILINE)
        assert len(marks) == sum(block.mark is not None for block in blocks(page)), page.name
