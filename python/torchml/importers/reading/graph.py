"""A function of tensors as a graph of torch operations, written as plain values."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, fx

from .source import ReadingError, first_line

INPUTS = ("species", "edge_vectors", "edge_index")

# Arithmetic of sizes; TorchScript, too, knows these.
_OF_SIZES = {
    getattr(operator, name): name
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge")
}
# Assertions about sizes, which the comparison with the function replaces.
_ASSERTIONS = ("_assert", "sym_constrain_range")


def graph_of(function: Callable[..., Tensor], sample: tuple[Tensor, ...]) -> dict[str, Any]:
    """Trace a function; the sizes of its arguments stay free.

    Args:
        function: of the tensors that `INPUTS` names.
        sample: these tensors, all of their sizes at least 2.

    Returns:
        `nodes`, each [operation, arguments, keywords]; `tensors`, the constants; `output`. Among
        the arguments {"node": k} is the result of node k (the inputs come first), {"tensor": k} a
        constant, {"dtype": name} a type, {"device": True} the device of the inputs.

    Raises:
        ReadingError: the function cannot be traced.
    """
    traced = _traced(function, sample)
    written = _Written()
    for node in traced.graph.nodes:
        written.add(node, traced)
    return {"nodes": written.nodes, "tensors": written.tensors, "output": written.output}


def _traced(function: Callable[..., Tensor], sample: tuple[Tensor, ...]) -> fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        with torch.no_grad(), lengths_stay_free(), _no_duck_shapes():
            traced = make_fx(
                function,
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
                _error_on_data_dependent_ops=True,
            )(*sample)
    except Exception as error:  # whatever the package raises with symbols for sizes
        raise ReadingError(f"it cannot be traced ({first_line(error)})") from None
    traced.graph.eliminate_dead_code()
    return traced


def _no_duck_shapes() -> AbstractContextManager[Any]:
    """Sizes that are equal in the sample need not be equal."""
    import torch.fx.experimental._config as symbols

    patch: AbstractContextManager[Any] = symbols.patch(use_duck_shape=False)  # type: ignore[attr-defined]
    return patch


@contextmanager
def lengths_stay_free() -> Iterator[None]:
    """Make len(tensor) the free size of a trace; Python's own must return a number."""
    number = builtins.len

    def length(value: Any) -> Any:
        return value.size(0) if isinstance(value, Tensor) and value.dim() else number(value)

    builtins.len = length
    try:
        yield
    finally:
        builtins.len = number


class _Written:
    """The plain values of a graph, node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Tensor] = []
        self.output: Any = None
        self.places: dict[fx.Node, Any] = {}
        self.inputs = 0

    def add(self, node: fx.Node, traced: fx.GraphModule) -> None:
        if node.op == "placeholder":
            self.places[node] = {"node": self.inputs}
            self.inputs += 1
        elif node.op == "get_attr":
            self.places[node] = self.constant(_attribute(traced, str(node.target)))
        elif node.op == "output":
            self.output = self.plain(node.args[0])
        elif not str(node.target).split(".")[-2:][0].startswith(_ASSERTIONS):
            name = _operation(node.target)
            keywords = {
                key: self.plain(value)
                for key, value in node.kwargs.items()
                if key not in ("layout", "pin_memory")
            }
            self.nodes.append([name, [self.plain(one) for one in node.args], keywords])
            self.places[node] = {"node": self.inputs + len(self.nodes) - 1}

    def constant(self, tensor: Tensor) -> dict[str, int]:
        self.tensors.append(tensor.detach().clone())
        return {"tensor": len(self.tensors) - 1}

    def plain(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return self.places[value]
        if isinstance(value, (list, tuple)):
            return [self.plain(one) for one in value]
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": True}
        if isinstance(value, torch.memory_format):
            return {"memory_format": str(value).removeprefix("torch.")}
        if isinstance(value, Tensor):
            return self.constant(value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ReadingError(f"its graph has an argument of the class {type(value).__name__}")


def _operation(target: Any) -> str:
    """The name of an operation of torch or of Python."""
    if target in _OF_SIZES:
        return _OF_SIZES[target]
    if target is operator.getitem:
        return "getitem"
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return str(target)
    raise ReadingError(f"its graph has the operation {target}, which torch alone does not have")


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module
