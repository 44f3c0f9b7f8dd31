"""The networks of the Lightning edition, as models of this package.

Each of its four models has a counterpart of the same kind: sizes are taken over, and parameters
without counterpart are named in one sentence.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torchml.compat.ocp_lightning import configs
from torchml.compat.ocp_lightning.documents import class_and_arguments
from torchml.compat.typed import from_mapping
from torchml.data.notices import notify
from torchml.errors import TorchMLError
from torchml.models.build import find_class

CUTOFF = 6.0
"""Å; edges in OCP's files end here."""

OWN_MODEL = "torchml.compat.ocp_lightning.OwnModel"
_OURS = "torchml.models."


@dataclass(frozen=True)
class Counterpart:
    """A model of this package for one of the Lightning edition.

    Attributes:
        model: name in torchml.models.
        schema: the arguments there.
        sizes: returns the arguments here.
        fixed: values that the model here has; other ones have no counterpart, None any value.
        needed: values without which an energy is no sum over atoms.
        remark: sentence on what differs.
    """

    model: str
    schema: type
    sizes: Callable[[Any], dict[str, Any]]
    fixed: Mapping[str, Any]
    needed: Mapping[str, Any]
    remark: str = ""


COUNTERPARTS = {
    "GraphConvModel": Counterpart(
        "GCN",
        configs.GraphConvModel,
        # OCP makes one block less than num_blocks.
        lambda a: {"layers": max(a.num_blocks - 1, 1), "features": a.atom_embedding_dim},
        {"out_dim": None, "num_fc_layers": None, "activation": "silu"},
        {"readout": "sumpooling"},
        "torchml.models.GCN takes distances where GraphConvModel takes coordinates: its energies "
        "do not change when a structure is moved or rotated",
    ),
    "DimeNetPP": Counterpart(
        "DimeNetPP",
        configs.DimeNetPP,
        lambda a: {
            "layers": a.num_blocks + 1,
            "features": a.emb_size,
            "triplet_features": a.int_emb_size,
            "radial_functions": a.num_radial,
            "spherical_degrees": a.num_spherical,
            "spherical_functions": a.num_radial,
            "basis_features": a.basis_emb_size,
        },
        {
            "out_emb_size": None,
            "envelope_exponent": 5.0,
            "num_before_skip": 1,
            "num_after_skip": 2,
            "num_dense_output": None,
            "activation": "silu",
        },
        {"extensive": True},
    ),
    "PLEGNNBackbone": Counterpart(
        "EGNN",
        configs.PLEGNNBackbone,
        lambda a: {
            "layers": a.embed_depth,
            "features": a.embed_hidden_dim,
            "attention": a.embed_use_attention,
        },
        {
            "embed_in_dim": 1,
            "embed_out_dim": None,
            "embed_feat_dims": None,
            "embed_message_dims": None,
            "embed_position_dims": None,
            "embed_edge_attributes_dim": 0,
            "embed_activation": "silu",
            "embed_residual": True,
            "embed_normalize": True,
            "embed_tanh": False,
            "embed_activate_last": False,
            "embed_k_linears": 1,
            "embed_attention_norm": "sigmoid",
            "node_projection_depth": None,
            "node_projection_hidden_dim": None,
            "node_projection_activation": "silu",
            "prediction_depth": None,
            "prediction_hidden_dim": None,
            "prediction_activation": "silu",
        },
        {"readout": "sum", "prediction_out_dim": 1},
    ),
    "GalaPotential": Counterpart(
        "GAANet",
        configs.GalaPotential,
        lambda a: {"layers": a.depth + 1, "features": a.hidden_dim},
        {
            "D_in": 1,
            "dilation": None,
            "residual": True,
            "nonlinearities": True,
            "merge_fun": None,
            "join_fun": None,
            "invariant_mode": None,
            "rank": 2,
            "invar_value_normalization": None,
            "value_normalization": None,
            "score_normalization": None,
            "block_normalization": None,
            "pc_size": None,
            "pc_mini_batch": None,
        },
        {},
        "torchml.models.GAANet takes all neighbours within the cutoff where GalaPotential takes a "
        "sample of the atoms",
    ),
}


def network(gnn: Any, dtype: str) -> dict[str, Any]:
    """Return the model of a section `model.gnn`, {class_path, init_args}.

    Args:
        gnn: the section.
        dtype: float32 or float64.

    Raises:
        TorchMLError: the class or one of its arguments is unknown.
    """
    path, arguments = class_and_arguments(gnn, "model.gnn")
    if path is None:
        raise TorchMLError("model.gnn lacks class_path, expected one beside init_args")
    module, _, name = path.rpartition(".")
    if module == "" or module.split(".")[0] == "ocpmodels":
        return _of_ocp(name, path, arguments, dtype)
    if path.startswith(_OURS):
        return _of_this_package(path, arguments, dtype)
    return {
        "class_path": OWN_MODEL,
        "init_args": {
            "species": [],
            "network": path,
            "arguments": dict(arguments),
            "dtype": dtype,
        },
    }


def _of_ocp(name: str, path: str, content: Any, dtype: str) -> dict[str, Any]:
    counterpart = COUNTERPARTS.get(name)
    if counterpart is None:
        close = difflib.get_close_matches(name, COUNTERPARTS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(COUNTERPARTS)}"
        raise TorchMLError(
            f"model.gnn.class_path '{path}' has no counterpart, {hint}; torchml.models has further "
            "models, and a class of your own is named with its module"
        )
    arguments: Any = from_mapping(counterpart.schema, content, "model.gnn.init_args")
    for key, needed in counterpart.needed.items():
        if _plain(getattr(arguments, key)) != needed:
            raise TorchMLError(
                f"model.gnn.init_args.{key} is {getattr(arguments, key)!r}, expected {needed!r}: "
                "an energy is the sum over its atoms"
            )
    _report(name, counterpart, arguments, content)
    return {
        "class_path": f"{_OURS}{counterpart.model}",
        "init_args": {
            "species": [],
            "cutoff": arguments.cutoff,
            **counterpart.sizes(arguments),
            "dtype": dtype,
        },
    }


def _report(name: str, counterpart: Counterpart, arguments: Any, content: Any) -> None:
    """Name what differs from the model of the Lightning edition."""
    lost = [
        key
        for key, value in counterpart.fixed.items()
        if key in content and (value is None or _plain(getattr(arguments, key)) != value)
    ]
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        notify(f"{name}: {', '.join(lost)} {verb} no counterpart in {_OURS}{counterpart.model}")
    if counterpart.remark:
        notify(counterpart.remark)
    if arguments.cutoff > CUTOFF:
        notify(
            f"{name}: cutoff is {arguments.cutoff:g} Å; edges in OCP's files end at {CUTOFF:g} Å, "
            "edges here are made from the positions and end at the cutoff"
        )


def _of_this_package(path: str, arguments: Any, dtype: str) -> dict[str, Any]:
    defaults = {"species": [], "cutoff": CUTOFF, "dtype": dtype}
    known = inspect.signature(find_class(path)).parameters
    return {
        "class_path": path,
        "init_args": {key: value for key, value in defaults.items() if key in known}
        | dict(arguments),
    }


def _plain(value: Any) -> Any:
    """The name of a class in lower case, whatever module it is from; other values unchanged."""
    if isinstance(value, Mapping):
        value = value.get("class_path")
    return value.rpartition(".")[2].lower() if isinstance(value, str) else value
