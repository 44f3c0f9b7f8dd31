"""Tables of D3 for a few elements, and results of dftd3, without the packages they come from."""

import json
from functools import cache
from pathlib import Path

from torchml.errors import TorchMLError
from torchml.models import D3

_FILE = Path(__file__).parents[1] / "data" / "d3.json"


@cache
def content():
    return json.loads(_FILE.read_text())


def cases():
    """Structures with energy, forces and virial of dftd3 1.7.0."""
    return content()["reference"]["cases"]


def tables_of(species):
    """Those of `torchml.models.d3_tables.tables_of`, for H C O Na Cl Si Cu."""
    known, tables = content()["tables"]["species"], content()["tables"]["tables"]
    places = [known.index(symbol) for symbol in species]

    def c6(s, t):
        if s <= t:
            return tables["c6"][s][t - s]
        return [list(column) for column in zip(*tables["c6"][t][s - t], strict=True)]

    return {
        **{name: [tables[name][k] for k in places] for name in ("radii", "moments")},
        "coordination": [tables["coordination"][k] for k in places],
        "c6": [[c6(s, t) for t in places[k:]] for k, s in enumerate(places)],
    }


def damping_of(functional):
    if functional.lower() != "pbe":
        raise TorchMLError(f"no damping of {functional} here")
    return content()["tables"]["damping"]


def d3(species, cutoff=9.0, coordination_cutoff=6.0, smoothing=1.0, **options):
    """D3 of PBE for some of these elements."""
    return D3(
        species, "PBE", cutoff, coordination_cutoff, smoothing,
        damping=damping_of("PBE"), tables=tables_of(species), **options,
    )  # fmt: skip
