"""Machine code of a traced graph, packed into an archive with its metadata."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchml.contract.metadata import ModelMetadata
from torchml.export.aoti.target import Target
from torchml.export.aoti.tracing import refusal
from torchml.inference.compiled import ENERGY, PARALLEL, SERIAL

_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    # Without OpenMP: sums over edges are fused with what makes their terms.
    SERIAL: {"cpp.threads": 1, "cpp.dynamic_threads": False},
    PARALLEL: {"cpp.dynamic_threads": True},
    ENERGY: {"cpp.dynamic_threads": True},
}


def compile_variant(
    program: Any, sample: tuple[Tensor, ...], target: Target, variant: str, name: str, folder: Path
) -> list[str]:
    """Compile an exported program, one of the models of the archive.

    Args:
        program: energy and derivative, or the energy, exported.
        sample: its inputs.
        target: the processor.
        variant: serial, parallel or energy.
        name: of the model, for errors.
        folder: for the files. In torch's own folder, the names of the files follow from the code
            alone: two processes that compile networks of one class with different weights write
            the same file, and one of them packs the other's.

    Returns:
        The paths of the files.
    """
    folder.mkdir()
    options = {
        **target.config,
        **_VARIANTS[variant],
        "aot_inductor.package": True,
        "aot_inductor.output_path": str(folder),
        # Columns that are joined are stored: as a function they are computed anew for each use.
        "max_pointwise_cat_inputs": 0,
    }
    try:
        with _threads(os.cpu_count() or 1):
            files: Any = torch._inductor.aot_compile(
                program.module(check_guards=False), sample, options=options
            )
    except Exception as error:
        raise refusal(name, "the compiler stopped", error) from None
    return list(files)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The compiler asks torch for the number of threads to plan for, not the environment."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def package(files: Mapping[str, list[str]], output: Path, facts: ModelMetadata) -> None:
    """Write the compiled files of all variants and the metadata as one archive."""
    from torch.export.pt2_archive._package import package_pt2

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        temporary = Path(scratch) / output.name
        package_pt2(
            str(temporary),
            aoti_files={name: list(some) for name, some in files.items()},
            extra_files=facts.to_extra_files(),
        )
        os.replace(temporary, output)
