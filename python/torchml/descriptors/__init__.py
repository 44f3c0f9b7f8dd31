"""Descriptors of atomic environments, computed by the C++ library that the driver uses.

    from torchml.descriptors import Descriptor, SymmetryFunctions

    descriptor = Descriptor(SymmetryFunctions(["Si"], 5.0, "set51"))
    values = descriptor.compute(atoms)                 # [N, 51]
    gradient = descriptor.vjp(atoms, cotangent)        # forces, virial and stress of an energy

Arguments and results are numpy arrays. Parameters are in `parameters`, published sets in `presets`,
files in `files`. `autograd` makes descriptors differentiable by torch; only this module imports it.
"""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.descriptors.descriptor import Descriptor, Gradient
    from torchml.descriptors.environments import Environments
    from torchml.descriptors.files import load_parameters, read, save_parameters, write
    from torchml.descriptors.parameters import (
        SOAP,
        Bispectrum,
        Parameters,
        SymmetryFunctions,
        Xi,
        preset,
    )
    from torchml.descriptors.symmetry_function import SymmetryFunction

_HOMES = {
    "Bispectrum": "torchml.descriptors.parameters",
    "Descriptor": "torchml.descriptors.descriptor",
    "Environments": "torchml.descriptors.environments",
    "Gradient": "torchml.descriptors.descriptor",
    "Parameters": "torchml.descriptors.parameters",
    "SOAP": "torchml.descriptors.parameters",
    "SymmetryFunction": "torchml.descriptors.symmetry_function",
    "SymmetryFunctions": "torchml.descriptors.parameters",
    "Xi": "torchml.descriptors.parameters",
    "load_parameters": "torchml.descriptors.files",
    "preset": "torchml.descriptors.parameters",
    "read": "torchml.descriptors.files",
    "save_parameters": "torchml.descriptors.files",
    "write": "torchml.descriptors.files",
}
__all__ = [
    "SOAP",
    "Bispectrum",
    "Descriptor",
    "Environments",
    "Gradient",
    "Parameters",
    "SymmetryFunction",
    "SymmetryFunctions",
    "Xi",
    "load_parameters",
    "preset",
    "read",
    "save_parameters",
    "write",
]

__getattr__ = lazy_names(__name__, _HOMES)
