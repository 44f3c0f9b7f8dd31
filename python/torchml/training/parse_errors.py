"""Errors of jsonargparse, Lightning and the operating system as one sentence."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from torchml.errors import TorchMLError

_NOISE = ("Does not validate", "Subtypes:", "Errors:", "Given value", "Expected a <class 'None")


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors in a configuration into TorchMLError.

    Raises:
        TorchMLError: one sentence with the key or file, the value and what was expected.
    """
    try:
        yield
    except ArgumentError as error:
        raise TorchMLError(one_line(str(error))) from None
    except MisconfigurationException as error:
        raise TorchMLError(" ".join(str(error).split())) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise TorchMLError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        # jsonargparse wraps what constructors raise.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, TorchMLError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        if "Union subtypes" not in str(error):
            raise
        raise TorchMLError(one_line(str(error))) from None  # of the second class that is allowed


def one_line(message: str) -> str:
    """Return the key and the innermost reason of a message of jsonargparse with many lines."""
    keys: list[str] = []
    cls: list[str] = []
    reasons: list[str] = []
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if text.startswith('Parser key "'):
            key, _, text = text.removeprefix('Parser key "').partition('":')
            keys.append(key)
            text = text.strip()
        elif text.startswith("Problem with given class_path"):
            cls = [text.removeprefix("Problem with given class_path ").rstrip(":").strip("'")]
            reasons = []
            continue
        value = text.removeprefix("Given value: ")
        if value != text and len(value) < 40 and not value.startswith(("{", "Namespace", "Nested")):
            reasons.append(f"given {value}")
        elif text and not text.startswith(_NOISE):
            reasons.append(re.sub(r"<class '([^']*)'>", r"\1", text))
    # Where two base classes are allowed, that the second one does not fit explains nothing.
    specific = [reason for reason in reasons if "does not correspond to a subclass" not in reason]
    reasons = [*cls, *(specific or reasons)]
    if "class_path='torch.optim.Optimizer'" in message:  # arguments, but not of which optimiser
        reasons = ["its class is not given, expected one beside its arguments: AdamW, for example"]
    if "InitFrom" in message and "arguments are required: file" in message:
        reasons = [
            "its file is not given beside its other keys, expected model.init_from.file, also "
            "where the configuration has a text for model.init_from"
        ]
    return ": ".join([*([".".join(keys)] if keys else []), *reasons])
