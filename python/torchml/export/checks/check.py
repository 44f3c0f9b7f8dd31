"""An export stops when a check fails."""

from __future__ import annotations

from collections.abc import Sequence

from torchml.errors import ModelError
from torchml.reference.agreement import Check


class CheckFailed(ModelError):
    """A model is not exported because a check failed.

    Attributes:
        checks: all checks so far, the failed one among them.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = list(checks)
        failure = next(check for check in checks if check.verdict == "fail")
        super().__init__(
            f"nothing was written: the check '{failure.name}' failed: {failure.detail}"
        )


def failed(checks: Sequence[Check]) -> bool:
    """Whether one of the checks failed."""
    return any(check.verdict == "fail" for check in checks)
