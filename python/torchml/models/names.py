"""Names of parameters in checkpoints, which stay when the code of a model changes."""

from __future__ import annotations

from typing import Any

import torch


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
