"""`torchml.export_model`: the export as one function, its keywords named like the flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torchml import kim
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.export.accuracy import Tolerance
from torchml.export.checks.check import CheckFailed
from torchml.export.pipeline import export
from torchml.export.request import Request, Result


def export_model(
    model: str | Path,
    *,
    source: str | None = None,
    head: str | None = None,
    species: Sequence[str] | str | None = None,
    cutoff: float | None = None,
    layers: int | None = None,
    convention: str | None = None,
    descriptor: str | Path | None = None,
    species_input: str | None = None,
    edges: str | None = None,
    extensions: Sequence[str] | None = None,
    dtype: str | None = None,
    compress: bool = False,
    tolerance: tuple[float, float] | None = None,
    format: str = "torchscript",
    instruction_set: str | None = None,
    device: str = "cpu",
    name: str | None = None,
    output: str | Path = ".",
    install: str | None = None,
    overwrite: bool = False,
    driver: str | None = None,
    title: str | None = None,
    description: str | None = None,
    author: str | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Result:
    """Make a KIM portable model of a trained model, after checking that it runs.

    The keywords are those of `python -m torchml_export`; `source` is its `--from`.

    Args:
        model: checkpoint of a training, TorchScript archive, or model of another package.
        source: the package whose pickle `model` is, `mace`. A pickle can run any code: name its
            kind only where you trust its source. None for a checkpoint or an archive.
        head: with `source`, which head of a model with several; None takes the one called default.
        species: chemical symbols; species code k means the k-th. Of a model of another package,
            the elements to keep.
        cutoff: radius of one neighbour list (Å).
        layers: message-passing layers; the influence distance is layers x cutoff.
        convention: how `forward` is called: none, graph, edges or descriptor. Of a checkpoint, for
            which of them it is scripted; None is edges, or descriptor for networks on one.
        descriptor: file with the parameters of the descriptor, YAML or descriptor.dat.
        species_input: what the first input of `forward` holds, after a descriptor the second:
            code or atomic_number.
        edges: convention graph: symmetric or directed edges.
        extensions: operator libraries that the model needs: paths or Python packages.
        dtype: float type of the network of a checkpoint, float32 or float64; None is float64.
        compress: replace what depends on the distance alone by splines; their error is measured.
        tolerance: largest errors of a compressed model (eV/atom, eV/Å); None is (1e-6, 1e-5).
        format: torchscript, or aoti: energy and forces compiled ahead of time.
        instruction_set: aoti: avx2, avx512 or native; None is avx2 on x86-64.
        device: aoti: cpu or cuda, for which the model is compiled.
        name: KIM name, short (SW_Si) or with its ID; None makes one of class and elements, or of
            the name of an archive.
        output: folder in which the model folder is made.
        install: KIM collection to install the model into, user, environment or system; None
            installs nothing.
        overwrite: replace the folder, and the installed model, of this name.
        driver: KIM ID of the model driver; None is that of TorchML.
        title: title in kimspec.edn.
        description: description in kimspec.edn.
        author: author in kimspec.edn.
        progress: called with the name of each long step before it starts.

    Returns:
        The checks, the metadata, and the folder of the portable model.

    Raises:
        CheckFailed: a check failed, and nothing was written; it carries all checks.
        TorchMLError: the model cannot be read, a fact about it is missing or contradicts another,
            or the place for the folder is taken.
    """
    if tolerance and not compress:
        raise TorchMLError("--tolerance is that of a compressed model, expected --compress with it")
    symbols = [species] if isinstance(species, str) else species
    request = Request(
        model=Path(model),
        source=source,
        head=head,
        name=name,
        facts=ModelMetadata(
            convention=convention,
            species=tuple(" ".join(symbols).split()) if symbols else None,
            cutoff=cutoff,
            layers=layers,
            dtype=dtype,
            species_input=species_input,
            stage_edges=edges,
            extensions=_absolute(extensions) if extensions else None,
        ),
        descriptor=None if descriptor is None else Path(descriptor),
        output=Path(output),
        driver=driver or kim.DRIVER,
        collection=install,
        overwrite=overwrite,
        compress=Tolerance(*(tolerance or ())) if compress else None,
        title=title,
        description=description,
        author=author,
        format=format,
        instruction_set=instruction_set,
        device=device,
        progress=progress,
    )
    result = export(request)
    if result.folder is None:
        raise CheckFailed(result.checks)
    return result


def _absolute(extensions: Sequence[str]) -> tuple[str, ...]:
    """Paths of libraries must hold in the simulator's folder too; names stay names."""
    return tuple(str(Path(one).resolve()) if Path(one).exists() else one for one in extensions)
