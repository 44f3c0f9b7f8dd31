"""Versions of packages in an environment: PYTHON versions.py MODULE... prints JSON."""

from __future__ import annotations

import json
import sys
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec


def versions(modules: list[str]) -> dict[str, str | None]:
    """The version of the package that has each module; None where it is not installed.

    Nothing is imported.
    """
    homes = packages_distributions()
    found: dict[str, str | None] = {}
    for module in modules:
        top = module.partition(".")[0]
        if find_spec(top) is None:
            found[module] = None
        else:
            found[module] = version(homes[top][0]) if top in homes else "of a folder"
    return found


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules have the names of packages
    print(json.dumps(versions(sys.argv[1:])))
