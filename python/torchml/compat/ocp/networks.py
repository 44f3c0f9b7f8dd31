"""The section `model` of OCP: which of our networks it means.

Edges are computed from the positions: all neighbours within the cutoff, without the limit of 50
neighbours that OCP's graphs have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchml.compat.typed import from_mapping
from torchml.errors import TorchMLError


@dataclass
class Common:
    """Keys that all models have."""

    use_pbc: bool = True
    regress_forces: bool = True
    otf_graph: bool = False
    max_neighbors: int | None = None
    cutoff: float = 10.0


@dataclass
class SchNet(Common):
    """Keys of schnet."""

    hidden_channels: int = 128
    num_filters: int = 128
    num_interactions: int = 6
    num_gaussians: int = 50
    readout: str = "add"


@dataclass
class Directional(Common):
    """Keys of dimenet and of dimenetplusplus."""

    hidden_channels: int = 128
    num_spherical: int = 7
    num_radial: int = 6
    envelope_exponent: int = 5
    num_before_skip: int = 1
    num_after_skip: int = 2
    num_output_layers: int = 3


@dataclass
class DimeNetPlusPlus(Directional):
    """Keys of dimenetplusplus."""

    num_blocks: int = 4
    int_emb_size: int = 64
    basis_emb_size: int = 8
    out_emb_channels: int = 256


@dataclass
class DimeNet(Directional):
    """Keys of dimenet."""

    num_blocks: int = 6
    num_bilinear: int = 8
    max_angles_per_image: int | None = None


@dataclass
class PaiNN(Common):
    """Keys of painn."""

    cutoff: float = 12.0
    hidden_channels: int = 512
    num_layers: int = 6
    num_rbf: int = 128
    rbf: dict[str, Any] | None = None
    envelope: dict[str, Any] | None = None
    direct_forces: bool = True
    num_elements: int = 83
    scale_file: str | None = None


Keys = SchNet | DimeNetPlusPlus | DimeNet | PaiNN
_KEYS: dict[str, type[Keys]] = {
    "schnet": SchNet,
    "dimenetplusplus": DimeNetPlusPlus,
    "dimenet": DimeNet,
    "painn": PaiNN,
}
_ABSENT = (
    *("cgcnn", "forcenet", "spinconv", "gemnet_t", "gp_gemnet_t", "gemnet_oc", "scn", "escn"),
    "equiformer_v2",
)


@dataclass(frozen=True)
class Network:
    """A network of this package.

    Attributes:
        arguments: class_path and init_args; `species` is empty: the elements of the training data.
        regress_forces: whether it is trained for forces.
        notes: sentences on what differs from OCP's.
    """

    arguments: dict[str, Any]
    regress_forces: bool
    notes: list[str]


def check_name(section: Any) -> None:
    """Raise TorchMLError unless there is a counterpart of the model that the section names."""
    name = section.get("name") if isinstance(section, Mapping) else None
    if name not in _KEYS:
        why = "has no counterpart here" if name in _ABSENT else "is unknown"
        raise TorchMLError(
            f"model.name '{name}' {why}, expected {', '.join(_KEYS)}; torchml.models has further "
            "ones for 'torchml fit'"
        )


def translate(section: Mapping[str, Any]) -> Network:
    """Translate the section `model`.

    Raises:
        TorchMLError: there is no counterpart of the model, or of a value.
    """
    check_name(section)
    keys = dict(section)
    name = keys.pop("name")
    given = from_mapping(_KEYS[name], keys, "model")
    if not given.use_pbc:
        raise TorchMLError(
            "model.use_pbc false cannot be honoured: structures are as periodic as the data say"
        )
    notes = [
        f"edges: all neighbours within {given.cutoff:g} Å, computed from the positions (OCP: at "
        "most 50 of each atom, and those in the files unless otf_graph is true)"
    ]
    class_path, arguments, further = _counterpart(given)
    common = {"species": [], "cutoff": given.cutoff}
    return Network(
        {
            "class_path": f"torchml.models.{class_path}",
            "init_args": common | arguments | {"dtype": "float32"},
        },
        given.regress_forces,
        notes + further,
    )


def _counterpart(given: Keys) -> tuple[str, dict[str, Any], list[str]]:
    """Class, arguments and notes of a model."""
    if isinstance(given, SchNet):
        if given.readout != "add":
            raise TorchMLError(
                f"model.readout is '{given.readout}', expected 'add': the energy of a potential is "
                "the sum over its atoms"
            )
        sizes = {
            "layers": given.num_interactions,
            "features": given.hidden_channels,
            "filters": given.num_filters,
            "gaussians": given.num_gaussians,
        }
        return "SchNet", sizes, []
    if isinstance(given, PaiNN):
        return _painn(given)
    return _directional(given)


def _painn(given: PaiNN) -> tuple[str, dict[str, Any], list[str]]:
    if given.direct_forces and given.regress_forces:
        raise TorchMLError(
            "model.direct_forces true (the default of painn) cannot be honoured: forces are "
            "derivatives of the energy; expected direct_forces: false"
        )
    sizes = {
        "layers": given.num_layers,
        "features": given.hidden_channels,
        "radial_functions": given.num_rbf,
    }
    note = "painn: distances are expanded in Bessel functions; rbf, envelope, scale_file do nothing"
    return "PaiNN", sizes, [note]


def _directional(given: DimeNet | DimeNetPlusPlus) -> tuple[str, dict[str, Any], list[str]]:
    for key, value in (("num_before_skip", 1), ("num_after_skip", 2), ("envelope_exponent", 5)):
        if getattr(given, key) != value:
            raise TorchMLError(
                f"model.{key} is {getattr(given, key)}, expected {value}, the number of "
                "torchml.models.DimeNetPP"
            )
    sizes = {
        "layers": given.num_blocks + 1,
        "features": given.hidden_channels,
        "radial_functions": given.num_radial,
        "spherical_degrees": given.num_spherical,
        "spherical_functions": given.num_radial,
    }
    notes = ["DimeNetPP: energies have a read-out of its own (num_output_layers does nothing)"]
    if isinstance(given, DimeNetPlusPlus):
        sizes |= {"triplet_features": given.int_emb_size, "basis_features": given.basis_emb_size}
        notes = [notes[0].replace("(num", "(out_emb_channels and num").replace("does", "do")]
    else:
        sizes |= {"triplet_features": given.hidden_channels, "basis_features": given.num_bilinear}
        notes.append(
            "dimenet: DimeNet++ takes its place, which multiplies where DimeNet has a bilinear "
            "layer; all angles are used (max_angles_per_image does nothing)"
        )
    return "DimeNetPP", sizes, notes
