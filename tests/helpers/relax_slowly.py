"""Relax slabs into a folder, slowly enough to be killed: relax_slowly.py FOLDER."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ase.calculators.emt import EMT

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.relaxing import metals
from torchml import relax
from torchml.relaxation import Files


class SlowEMT(EMT):
    """EMT that waits before each evaluation."""

    def calculate(self, *arguments: Any, **keywords: Any) -> None:
        time.sleep(0.01)
        super().calculate(*arguments, **keywords)


if __name__ == "__main__":
    relax(metals(8), SlowEMT(), output=sys.argv[1], files=Files(trajectories=1, extxyz="both"))
