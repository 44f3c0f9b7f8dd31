"""Potentials that come with the package, and their way into TorchScript."""

from torchml.models.base import EdgeModel
from torchml.models.build import build, class_path, describe_class
from torchml.models.painn import PaiNN
from torchml.models.schnet import SchNet
from torchml.models.scripting import describe, script
from torchml.models.stillinger_weber import StillingerWeber

__all__ = [
    "EdgeModel",
    "PaiNN",
    "SchNet",
    "StillingerWeber",
    "build",
    "class_path",
    "describe",
    "describe_class",
    "script",
]
