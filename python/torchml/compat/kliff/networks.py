"""The network of a KLIFF manifest: an object of the user, or a class of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from torchml.compat.kliff.manifest import DescriptorArguments, GraphArguments, Model
from torchml.contract.torchscript import load_script
from torchml.errors import TorchMLError
from torchml.models import EdgeModel, build
from torchml.models.dtype import network_dtype
from torchml.models.staged import StagedModel, argument_names

PRECISIONS = {"double": "float64", "single": "float32"}


def network_of(
    section: Model, inputs: GraphArguments | DescriptorArguments, model: torch.nn.Module | None
) -> dict[str, Any] | EdgeModel | StagedModel:
    """Return the model for a graph or a descriptor: {class_path, init_args}, or an object."""
    if section.type not in (None, "torch"):
        raise refused(f"model.type '{section.type}'", "expected 'torch', or KLIFF's KIMTrainer")
    if section.collection not in (None, "user"):
        raise refused("model.collection", "it is where KIM models are looked for")
    archive = _archive(section.model_path or section.path)
    sources = (model, section.class_path, archive)
    if sum(source is not None for source in sources) > 1:
        raise TorchMLError(
            "the model is given more than once, expected one of: an object, model.class_path, or "
            "the path of a TorchScript archive"
        )
    if isinstance(inputs, DescriptorArguments):
        return _on_descriptor(inputs, section, own=model is not None or archive is not None)
    graph = inputs
    if section.class_path is not None:
        return _by_class(section.class_path, dict(section.init_args or {}), graph, section)
    if archive is not None:
        model = load_script(archive)
    if model is None:
        raise TorchMLError(
            "there is no model: give one to GNNLightningTrainer, or name its class by "
            "model.class_path, or a TorchScript archive by model.path"
        )
    if isinstance(model, EdgeModel):
        return _edge_model(model, graph, section)
    return _own_network(model, graph, section)


def _archive(path: str | None) -> Path | None:
    """Return the TorchScript archive, if the path is one; KLIFF also allows a folder there."""
    if path is None or Path(path).is_dir():
        return None
    if not Path(path).is_file():
        raise TorchMLError(f"model.path {path}: no such file, expected a TorchScript archive")
    return Path(path)


def _on_descriptor(descriptor: DescriptorArguments, section: Model, own: bool) -> dict[str, Any]:
    """Return DescriptorPotential for this descriptor; model.init_args may set its sizes."""
    class_path = "torchml.models.DescriptorPotential"
    if own or section.class_path not in (None, class_path):
        raise refused(
            "a network of one's own on transforms.configuration.name 'Descriptor'",
            f"expected no model, or model.class_path {class_path}; "
            "torchml.descriptors.autograd trains networks of one's own",
        )
    if section.input_args not in (None, ["descriptor"]):
        raise TorchMLError(
            f"model.input_args are {', '.join(section.input_args or [])}, expected descriptor"
        )
    asked = {
        "species": descriptor.species,
        "cutoff": descriptor.cutoff,
        "descriptor": descriptor.descriptor,
        "parameters": descriptor.hyperparameters,
    }
    if section.precision is not None:
        asked["dtype"] = PRECISIONS[section.precision]
    arguments = {**asked, **(section.init_args or {})}
    for name, value in asked.items():
        if arguments[name] != value:
            raise TorchMLError(
                f"model.init_args.{name} is {arguments[name]!r}, but the manifest says {value!r}"
            )
    build(class_path, arguments)  # raises an error for wrong arguments
    return {"class_path": class_path, "init_args": arguments}


def _by_class(
    class_path: str, arguments: dict[str, Any], graph: GraphArguments, section: Model
) -> dict[str, Any]:
    """Return a class with the species, cutoff and layers of the graph as arguments."""
    arguments.setdefault("species", graph.species)
    arguments.setdefault("cutoff", graph.cutoff)
    arguments.setdefault("layers", graph.n_layers)
    if section.precision is not None:
        arguments.setdefault("dtype", PRECISIONS[section.precision])
    _edge_model(build(class_path, arguments), graph, section)
    return {"class_path": class_path, "init_args": arguments}


def _edge_model(model: EdgeModel, graph: GraphArguments, section: Model) -> EdgeModel:
    """Check that the model fits this graph, and return it."""
    _check_fields(section.input_args, graph)
    for name, mine, asked in (
        ("species", model.species, graph.species),
        ("cutoff", model.cutoff, graph.cutoff),
        ("layers", model.layers, graph.n_layers),
    ):
        if mine != asked:
            raise TorchMLError(
                f"{type(model).__name__} has {name} {mine}, but transforms.configuration.kwargs "
                f"say {asked}"
            )
    dtype = str(network_dtype(model)).removeprefix("torch.")
    if section.precision is not None and PRECISIONS[section.precision] != dtype:
        raise TorchMLError(
            f"model.precision is '{section.precision}', but {type(model).__name__} was made with "
            f"{dtype}: give it dtype='{PRECISIONS[section.precision]}'"
        )
    return model


def _own_network(model: torch.nn.Module, graph: GraphArguments, section: Model) -> StagedModel:
    """Wrap a network of KLIFF's kind; its arguments must have the order of the driver."""
    if graph.mic:
        raise refused(
            "transforms.configuration.kwargs.mic",
            "a network of one's own takes the graphs with ghosts that a simulator gives",
        )
    names = argument_names(model)
    expected = _check_fields(section.input_args or names, graph)
    if names != expected:
        raise TorchMLError(
            f"forward of {type(model).__name__} takes {', '.join(names)}; a simulator gives its "
            f"arguments in the order {', '.join(expected)}"
        )
    if section.precision is not None:
        model = model.to(getattr(torch, PRECISIONS[section.precision]))
    return StagedModel(
        model,
        graph.species,
        graph.cutoff,
        graph.n_layers,
        "code" if expected[0] == "species" else "atomic_number",
    )


def _check_fields(given: list[str] | None, graph: GraphArguments) -> list[str]:
    """Return the arguments of a graph network, in the order of a simulator."""
    first = "species" if "species" in (given or ()) else "z"
    stages = [f"edge_index{k}" for k in range(graph.n_layers)]
    expected = [first, "coords", *stages, "contributions"]
    if given is not None and sorted(given) != sorted(expected):
        raise TorchMLError(
            f"model.input_args are {', '.join(given)}; for n_layers {graph.n_layers} a simulator "
            f"gives {', '.join(expected)}, where the first may be species or z"
        )
    return expected


def refused(what: str, why: str) -> TorchMLError:
    """Return the error for a key that has no equivalent."""
    return TorchMLError(f"{what} cannot be honoured: {why}")
