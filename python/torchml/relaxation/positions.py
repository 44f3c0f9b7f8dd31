"""The files of OCP with relaxed positions: `relaxed_pos_RANK.json` and `relaxed_positions.npz`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torchml.data.output import written_then_renamed


def write_positions_json(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a list of [id, [[x, y, z], ...]] with all atoms of each structure, Å."""
    content = [[record["id"], record["positions"]] for record in records]
    with written_then_renamed(path) as temporary:
        temporary.write_text(json.dumps(content))


def write_positions_npz(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write ids, positions of all atoms, and where to cut them.

    `ids` [n], texts in the order of texts; `pos` [atoms of all, 3], Å; `chunk_idx` [n - 1], the
    numbers of atoms summed up without the last, as `numpy.split` takes them.
    """
    ordered = sorted(records, key=lambda record: record["id"])
    positions = [np.array(record["positions"], dtype=np.float64) for record in ordered]
    counts = [len(array) for array in positions]
    with written_then_renamed(path) as temporary:
        np.savez_compressed(
            temporary,
            ids=np.array([record["id"] for record in ordered], dtype=np.str_),
            pos=np.concatenate(positions) if positions else np.empty((0, 3)),
            chunk_idx=np.cumsum(counts, dtype=np.int64)[:-1],
        )
