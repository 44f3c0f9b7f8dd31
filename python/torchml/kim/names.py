"""Names of KIM models and model drivers."""

from __future__ import annotations

import re

from torchml.errors import TorchMLError

DRIVER = "TorchML__MD_173118614730_000"

EXTENDED_ID = re.compile(r"(?P<prefix>[A-Za-z][A-Za-z0-9_]*?)__(?P<kind>MO|MD)_\d{12}_\d{3}")
_PREFIX = re.compile(r"(?!.*__)[A-Za-z][A-Za-z0-9_]*")
_LONGEST_PREFIX = 100


def model_name(name: str) -> str:
    """Return the extended KIM ID of a model.

    Args:
        name: an extended ID, or a short name such as `SW_Si`, which gets the ID of unpublished
            models.

    Raises:
        TorchMLError: KIM-API does not allow this name.
    """
    full = EXTENDED_ID.fullmatch(name)
    prefix = full["prefix"] if full and full["kind"] == "MO" else name
    if not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_PREFIX:
        raise TorchMLError(
            f"'{name}' is no KIM model name, expected letters, digits and single underscores, "
            f"a letter first, at most {_LONGEST_PREFIX} (such as SW_Si), with or without an ID "
            "(such as SW_Si__MO_000000000000_000)"
        )
    return name if full else f"{name}__MO_000000000000_000"
