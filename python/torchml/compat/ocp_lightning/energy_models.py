"""Base classes of models that are written for the Lightning edition of OCP, and how to find one.

A model's file may import them from here or, as OCP documents it, from ocpmodels.models.base: while
the file is imported, a module of that name stands in for ocpmodels where that is not installed.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import jsonargparse
import lightning.pytorch as L
from torch import Tensor

from torchml.compat.ocp_lightning.graph import Graph
from torchml.errors import ModelError
from torchml.training.parse_errors import one_sentence


class AbstractTask(L.LightningModule):
    """A network that a task trains."""

    @property
    def num_params(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


class AbstractEnergyModel(AbstractTask):
    """A network that returns the energy of each structure; subclasses implement `forward`.

    Attributes:
        cutoff: atoms closer than this have an edge (Å).
        layers: how many times `forward` passes values along edges. Training does not need it; in a
            simulator it decides how many images of the atoms the graph contains.
    """

    cutoff: float = 6.0
    layers: int = 1

    def forward(self, graph: Graph) -> Tensor:
        """Return the energies [G, 1] of the G structures of a graph.

        They are in units of the standard deviation of normalize_kwargs (else in eV), and without
        energies of the elements that replace its mean. Forces are their derivatives, so they must
        depend smoothly on the positions.
        """
        raise NotImplementedError


def build(class_path: str, arguments: Mapping[str, Any]) -> AbstractEnergyModel:
    """Make a model of the user.

    Args:
        class_path: "module.Class"; the module may be a file in the working folder.
        arguments: of the class; classes among them are given by their path.

    Raises:
        ModelError: there is no such class, it is no energy model, or an argument is wrong.
    """
    with _ocpmodels():
        cls = _find(class_path)
        _check_names(cls, class_path, arguments)
        parser = jsonargparse.ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(cls, "init_args")
        with one_sentence():
            values = parser.parse_object({"init_args": dict(arguments)})
        try:
            network = parser.instantiate(values).init_args
        except Exception as error:
            raise ModelError(f"{class_path} cannot be made: {_words(error)}") from error
    assert isinstance(network, AbstractEnergyModel)
    return network


def _find(class_path: str) -> type[AbstractEnergyModel]:
    module, _, name = class_path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ModelError(_missing(class_path, module, error.name or "")) from error
    except AttributeError as error:
        raise ModelError(f"model.gnn.class_path '{class_path}': {error}") from error
    except Exception as error:
        raise ModelError(f"{class_path} cannot be imported: {_words(error)}") from error
    if not (isinstance(cls, type) and issubclass(cls, AbstractEnergyModel)):
        raise ModelError(
            f"model.gnn.class_path '{class_path}' is no subclass of AbstractEnergyModel, expected "
            "one, as in torchml.compat.ocp_lightning"
        )
    return cls


def _missing(class_path: str, module: str, lacking: str) -> str:
    """The sentence for a module that cannot be found."""
    if module == lacking or module.startswith(f"{lacking}."):
        return (
            f"model.gnn.class_path '{class_path}': there is no module {lacking}, expected a file "
            f"{lacking}.py in the working folder, or an installed package"
        )
    package = lacking.partition(".")[0]
    if package == "dgl":
        return (
            f"{module} imports {lacking}, which is not installed: DGL is no longer developed and "
            "is not needed here; the graph that forward takes has ndata, edata, edges(), batch and "
            "pool(), and torch.Tensor.index_add sums messages"
        )
    if package == "ocpmodels":
        return (
            f"{module} imports {lacking}, which is not installed, expected AbstractEnergyModel of "
            "ocpmodels.models.base, or of torchml.compat.ocp_lightning"
        )
    return f"{module} imports {lacking}, which is not installed"


def _check_names(cls: type, class_path: str, arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for name in arguments:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise ModelError(f"{class_path} has no argument '{name}'; {hint}")


@contextmanager
def _ocpmodels() -> Iterator[None]:
    """Let `ocpmodels.models.base` be imported where ocpmodels is not installed."""
    if find_spec("ocpmodels") is not None:
        yield
        return
    modules = {}
    for name in ("ocpmodels", "ocpmodels.models", "ocpmodels.models.base"):
        modules[name] = ModuleType(name)
        modules[name].__path__ = []
    for name in ("ocpmodels.models", "ocpmodels.models.base"):
        for cls in (AbstractTask, AbstractEnergyModel):
            setattr(modules[name], cls.__name__, cls)
    setattr(modules["ocpmodels"], "models", modules["ocpmodels.models"])  # noqa: B010
    setattr(modules["ocpmodels.models"], "base", modules["ocpmodels.models.base"])  # noqa: B010
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)


def _words(error: Exception) -> str:
    """An exception of another library in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
