"""Names in checkpoints, which stay the same when models are written in another way or moved."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import torch


def public_name(cls: Any) -> str:
    """Return the shortest name under which a class is imported: torchml.models.SchNet.

    Files record this name, so that the class may move to another module of its package.
    """
    parts = cls.__module__.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules[package], cls.__qualname__, None) == cls:
            return f"{package}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def public_path(path: str) -> str:
    """Return the public name of a class of this package, which `path` names by any module.

    Classes of other packages keep the name that the user gave.
    """
    if not path.startswith("torchml."):
        return path
    module, _, name = path.rpartition(".")
    return public_name(getattr(import_module(module), name))


def keep_names(module: torch.nn.Module, child: str) -> None:
    """Save and load the state of a child without the name of the child.

    Checkpoints from before the child existed can be loaded, and new ones have the same names.
    """

    def saved(_: Any, state: dict[str, Any], prefix: str, __: Any) -> None:
        inner = f"{prefix}{child}."
        renamed = [(key, prefix + key.removeprefix(inner)) for key in state]
        for old, new in renamed:  # all keys, to keep their order
            value = state.pop(old)
            state[new if old.startswith(inner) else old] = value

    def loaded(_: Any, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for name in [name for name, _ in own.named_parameters()] + [
            n for n, _ in own.named_buffers()
        ]:
            if (value := state.pop(prefix + name, None)) is not None:
                state[f"{prefix}{child}.{name}"] = value

    own = getattr(module, child)
    module.register_state_dict_post_hook(saved)
    module.register_load_state_dict_pre_hook(loaded)
