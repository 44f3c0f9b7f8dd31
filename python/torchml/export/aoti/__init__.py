"""Models compiled ahead of time by AOTInductor."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.contract.compiled_inputs import Input, arguments_of
    from torchml.export.aoti.compilation import compile_archive
    from torchml.export.aoti.target import INSTRUCTION_SETS
    from torchml.inference.compiled import PARALLEL, SERIAL, SUFFIX, Compiled, load

_HOMES = {
    "Compiled": "torchml.inference.compiled",
    "INSTRUCTION_SETS": "torchml.export.aoti.target",
    "Input": "torchml.contract.compiled_inputs",
    "PARALLEL": "torchml.inference.compiled",
    "SERIAL": "torchml.inference.compiled",
    "SUFFIX": "torchml.inference.compiled",
    "arguments_of": "torchml.contract.compiled_inputs",
    "compile_archive": "torchml.export.aoti.compilation",
    "load": "torchml.inference.compiled",
}

__all__ = [
    "INSTRUCTION_SETS",
    "PARALLEL",
    "SERIAL",
    "SUFFIX",
    "Compiled",
    "Input",
    "arguments_of",
    "compile_archive",
    "load",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
