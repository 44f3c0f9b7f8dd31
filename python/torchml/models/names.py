"""Names of parameters in checkpoints, which outlive the way in which a model is written."""

from __future__ import annotations

from typing import Any

import torch


def keep_names(module: torch.nn.Module, child: str) -> None:
    """Name the state of a child as if it were the module's own, when it is saved and loaded.

    So checkpoints from before the child was made fit, and new ones look the same.
    """

    def saved(_: Any, state: dict[str, Any], prefix: str, __: Any) -> None:
        inner = f"{prefix}{child}."
        renamed = [(key, prefix + key.removeprefix(inner)) for key in state]
        for old, new in renamed:  # all of them, so that their order stays
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
