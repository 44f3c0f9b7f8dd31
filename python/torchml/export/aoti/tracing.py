"""Graphs of torch operations whose sizes are free."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor

from torchml.contract.compiled_inputs import Input
from torchml.errors import ModelError, TorchMLError
from torchml.importers.reading.source import first_line


def trace(
    function: Callable[..., Any], sample: tuple[Tensor, ...], name: str
) -> torch.fx.GraphModule:
    """The operations of a function as a graph, with symbols for the sizes of its inputs."""
    import torch.fx.experimental._config as symbols
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        with (
            symbols.patch(use_duck_shape=False),  # type: ignore[attr-defined]
            redirect_stderr(io.StringIO()),  # of graphs that stop, torch prints code and traceback
        ):
            graph = make_fx(
                function,
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
                _error_on_data_dependent_ops=True,
            )(*sample)
    except Exception as error:
        raise refusal(name, "it cannot be traced", error) from None
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def free_sizes(
    graph: torch.fx.GraphModule, inputs: Sequence[Input], sample: tuple[Tensor, ...], name: str
) -> Any:
    """An exported program of a graph. Each named size of its inputs is free, from 2 on."""
    import torch.fx.experimental._config as symbols

    names = {size for one in inputs for size in one.sizes if not size.isdigit()}
    free = {name: torch.export.Dim(name, min=2) for name in sorted(names)}
    shapes = tuple(
        {axis: free[size] for axis, size in enumerate(one.sizes) if size in free} for one in inputs
    )
    try:
        with symbols.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            return torch.export.export(graph, sample, dynamic_shapes=shapes)
    except Exception as error:
        raise refusal(name, "its sizes are not free", error) from None


def refusal(name: str, what: str, error: Exception) -> TorchMLError:
    """The error of a model that torch cannot compile, with the first line of torch's reason."""
    return ModelError(
        f"{name} cannot be compiled: {what} ({first_line(error)}), expected torch operations "
        "whose sizes do not depend on values, and no autograd inside; the format torchscript has "
        "no such limits"
    )


@contextmanager
def quiet_compiler() -> Iterator[None]:
    """Hide the warnings of torch's compiler about its own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
