"""Variables of launchers, which the engine reads too."""

from __future__ import annotations

import re
from pathlib import Path

from torchml.training import launchers

HOST = Path(__file__).parents[3] / "driver" / "core" / "host"


def test_the_engine_reads_the_same_variables() -> None:
    """Both read the number of ranks of a job; Slurm's is Lightning's here."""
    source = "".join(path.read_text() for path in HOST.glob("*.cpp"))
    names = set(re.findall(r'"([A-Z0-9_]+_SIZE)"', source))
    engine = {name for name in names if "LOCAL" not in name}
    assert {"OMPI_COMM_WORLD_SIZE", "PALS_SIZE"} <= engine <= set(launchers.MPI_SIZES)
