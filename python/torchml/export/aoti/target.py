"""The processor that a model is compiled for, and the compiler that it takes."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from torchml.errors import TorchMLError

INSTRUCTION_SETS = ("avx2", "avx512", "native")


@dataclass(frozen=True)
class Target:
    """An instruction set as inductor's configuration."""

    name: str
    config: Mapping[str, Any]

    def declared(self) -> str:
        """The words of the metadata key `instruction_set`."""
        from torch._inductor import config
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        if not self.config:
            return platform.machine()
        with config.patch(dict(self.config)):
            return str(pick_vec_isa()).lower()


_X86 = {
    "avx2": Target("avx2", {"cpp.simdlen": 256, "cpp.march": "x86-64-v3"}),
    "avx512": Target("avx512", {"cpp.simdlen": 512, "cpp.march": "x86-64-v4"}),
}
# Instruction sets of a processor, by torch's word for it.
_PROCESSORS = {"AVX2": ("avx2",), "AVX512": ("avx2", "avx512")}


def target_of(instruction_set: str | None) -> Target:
    """The target that a user names: avx2, avx512 or native; None is avx2 on x86-64."""
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        if instruction_set not in (None, "native"):
            raise TorchMLError(
                f"the instruction set '{instruction_set}' is not one of {machine}, expected native"
            )
        return Target(machine, {})
    from torch._inductor import config
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list

    if not hasattr(config.cpp, "march"):
        raise TorchMLError(
            f"torch {torch.__version__} compiles models for the processor it runs on alone, "
            "expected torch 2.13 or newer, or a model that is not compiled"
        )
    here = {word for isa in valid_vec_isa_list() for word in str(isa).split()}
    name = instruction_set or "avx2"
    if name == "native":
        name = "avx512" if "avx512" in here else "avx2"
    if name not in _X86:
        raise TorchMLError(
            f"the instruction set is '{name}', expected {' | '.join(INSTRUCTION_SETS)}"
        )
    if name not in here:
        # torch lists what the processor has and a trial of the compiler, with OpenMP, succeeds for.
        if name in _PROCESSORS.get(torch.backends.cpu.get_cpu_capability(), ()):
            raise TorchMLError(
                f"the C++ compiler '{_compiler()}' compiles no program with OpenMP for {name}, "
                "expected g++, or Clang with its OpenMP (package libomp-dev)"
            )
        raise TorchMLError(f"this processor has no {name}, expected an instruction set that it has")
    return _X86[name]


def import_setuptools() -> None:
    """Import setuptools for Inductor.

    After pip was looked up, its distutils hook makes that fail; then use the standard library's.
    """
    try:
        importlib.import_module("setuptools")
    except AssertionError:
        name = "SETUPTOOLS_USE_DISTUTILS"
        before = os.environ.get(name)
        os.environ[name] = "stdlib"
        try:
            importlib.import_module("setuptools")
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


def require_compiler() -> None:
    """Refuse to start without a C++ compiler."""
    if shutil.which(_compiler()) is None:
        raise TorchMLError(
            "no C++ compiler was found, expected g++ on the PATH (or CXX): models are compiled "
            "with it when they are exported, not when they run"
        )


def _compiler() -> str:
    """The C++ compiler that torch calls."""
    return os.environ.get("CXX") or "g++"
