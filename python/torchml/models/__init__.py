"""Potentials of this package, and their conversion to TorchScript."""

from torchml.models.ace import ACE
from torchml.models.base import EdgeModel
from torchml.models.behler_parrinello import BehlerParrinello
from torchml.models.build import build, class_path, describe_class
from torchml.models.committee import Committee
from torchml.models.d3 import D3
from torchml.models.descriptor_potential import DescriptorPotential
from torchml.models.dimenet import DimeNetPP
from torchml.models.egnn import EGNN
from torchml.models.gaanet import GAANet
from torchml.models.gcn import GCN
from torchml.models.painn import PaiNN
from torchml.models.posterior import Posterior
from torchml.models.scaled import Scaled
from torchml.models.schnet import SchNet
from torchml.models.scripting import describe, script
from torchml.models.stillinger_weber import StillingerWeber
from torchml.models.summed import Sum
from torchml.models.tensornet import TensorNet
from torchml.models.zbl import ZBL

__all__ = [
    "ACE",
    "D3",
    "EGNN",
    "GCN",
    "ZBL",
    "BehlerParrinello",
    "Committee",
    "DescriptorPotential",
    "DimeNetPP",
    "EdgeModel",
    "GAANet",
    "PaiNN",
    "Posterior",
    "Scaled",
    "SchNet",
    "StillingerWeber",
    "Sum",
    "TensorNet",
    "build",
    "class_path",
    "describe",
    "describe_class",
    "script",
]
