"""`predict`: a model evaluated for a data set, in batches, read ahead of the evaluation."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.progress import Progress
from torchml.data.ranks import Ranks
from torchml.data.reading import Broken, read
from torchml.errors import DataError, StructureError
from torchml.inference.evaluation import Evaluation
from torchml.inference.many import ManyStructures
from torchml.inference.potential import Potential

if TYPE_CHECKING:
    from ase import Atoms

Data: TypeAlias = "str | Path | Sequence[str | Path] | Sequence[Configuration] | Sequence[Atoms]"
Result = tuple[Configuration, Evaluation]

_CHUNK = 16  # structures that one thread reads at a time
_AHEAD = 4  # chunks that wait for each thread
_DURATION = 2.0  # s between two batches of results


@dataclass(frozen=True)
class Quantities:
    """What is computed besides the energy."""

    forces: bool = True
    stress: bool = False
    particle_energies: bool = False

    def __str__(self) -> str:
        names = ["energy"]
        names += [name for name, wanted in vars(self).items() if wanted]
        return ", ".join(names)


@dataclass(frozen=True)
class Batch:
    """Structures in the order of their places in the data set, and their results."""

    places: list[int]
    results: list[Result]


def predict(
    model: Potential | str | Path,
    data: Data,
    *,
    forces: bool = True,
    stress: bool = False,
    particle_energies: bool = False,
    device: str = "cpu",
    batch_edges: int | None = None,
    workers: int | None = None,
    ranks: Ranks | None = None,
    keys: Keys | None = None,
    format: str | None = None,
    broken: Broken = "error",
) -> Iterator[Result]:
    """Evaluate a model for each structure of a data set.

    `Predictions.of(predict(...))` collects the results; `predict_to_file` writes them, and can be
    interrupted.

    Args:
        model: what `Potential` opens, or an opened one.
        data: files or folders as `torchml.data.read` takes them, or structures. It is read on
            demand where its format allows that.
        forces: compute forces.
        stress: compute the stress; structures without a volume get None.
        particle_energies: compute the energy of each atom; None where the model has only totals.
        device: "cpu", "cuda" or "cuda:K"; not used for an opened model.
        batch_edges: pairs of neighbours in one call of the model, about; the default depends on the
            device.
        workers: threads that read ahead; 0 reads between the batches. The default is 1 on a GPU, 0
            on a CPU, where a thread takes time from the model.
        ranks: yield the structures of one rank only (`Ranks.share`); all by default.
        keys: names and units of labels in the files.
        format: of the files; by default that of their names.
        broken: as `torchml.data.read` has it.

    Yields:
        Each configuration, with its labels, and its evaluation, in the order of the data.

    Raises:
        DataError: a structure does not fit the model; the sentence names it.
        TorchMLError: model or data cannot be read.
    """
    potential = model if isinstance(model, Potential) else Potential(model, device)
    configurations = configurations_of(data, keys, format, broken)
    places = (ranks or Ranks()).share(len(configurations))
    wanted = Quantities(forces, stress, particle_energies)
    return _results(batches(potential, configurations, places, wanted, batch_edges, workers))


def _results(found: Iterator[Batch]) -> Iterator[Result]:
    for batch in found:
        yield from batch.results


def configurations_of(
    data: Data, keys: Keys | None = None, format: str | None = None, broken: Broken = "error"
) -> Sequence[Configuration]:
    """Return the configurations of what `predict` takes as data.

    Raises:
        DataError: there are none.
    """
    found: Sequence[Configuration]
    if isinstance(data, str | Path) or (len(data) and isinstance(data[0], str | Path)):
        found = read(data, keys, format, broken)  # type: ignore[arg-type]
    elif len(data) and isinstance(data[0], Configuration):
        found = data  # type: ignore[assignment]
    else:
        found = [Configuration.from_atoms(a, keys, index=k) for k, a in enumerate(data)]  # type: ignore[arg-type]
    if len(found) == 0:
        raise DataError("the data set is empty, expected at least one structure")
    return found


def batches(
    potential: Potential,
    configurations: Sequence[Configuration],
    places: Sequence[int],
    wanted: Quantities,
    batch_edges: int | None = None,
    workers: int | None = None,
) -> Iterator[Batch]:
    """Evaluate the configurations at some places, in their order.

    A batch takes about two seconds, so that little is lost if the process is killed.

    Args:
        potential: the model.
        configurations: the data set.
        places: in the data set.
        wanted: what to compute.
        batch_edges: pairs of neighbours in one call of the model, about.
        workers: threads that read ahead; by default 1 on a GPU, 0 on a CPU.
    """
    if workers is None:
        workers = 0 if potential.device == "cpu" else 1
    many = ManyStructures(potential, skin=0.0, most_edges=batch_edges)
    size = _CHUNK
    waiting: list[Placed] = []
    with Progress("predicting", len(places)) as bar:
        for last, chunk in _read_ahead(configurations, places, workers):
            waiting += chunk
            if len(waiting) < size and not last:
                continue
            start = time.monotonic()
            found = [configuration for _, configuration in waiting]
            evaluations = evaluate_named(many, found, wanted)
            duration = max(time.monotonic() - start, 1e-6)
            yield Batch([place for place, _ in waiting], list(zip(found, evaluations, strict=True)))
            bar.advance(len(waiting))
            size = max(1, min(2 * len(waiting), int(len(waiting) * _DURATION / duration)))
            waiting = []


Placed = tuple[int, Configuration]


def _read_ahead(
    configurations: Sequence[Configuration], places: Sequence[int], workers: int
) -> Iterator[tuple[bool, list[Placed]]]:
    """Yield chunks of the data set in order, and whether it is the last one.

    Threads read the next chunks meanwhile: the engine does not hold Python's lock.
    """

    def chunk(begin: int) -> tuple[bool, list[Placed]]:
        end = begin + _CHUNK
        return end >= len(places), [(place, configurations[place]) for place in places[begin:end]]

    begins = range(0, len(places), _CHUNK)
    if workers == 0:
        yield from map(chunk, begins)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="torchml-reader")
    ahead: deque[Future[tuple[bool, list[Placed]]]] = deque()
    try:
        for begin in begins:
            ahead.append(pool.submit(chunk, begin))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def evaluate_named(
    many: ManyStructures, configurations: list[Configuration], wanted: Quantities
) -> list[Evaluation]:
    """Evaluate together; an error names the configuration instead of its number."""
    structures = [configuration.to_atoms() for configuration in configurations]
    try:
        return many.evaluate(structures, **vars(wanted))
    except StructureError as error:
        reason = re.sub(r"^structure \d+ \([^()]*\): ", "", str(error))
        raise DataError(f"{configurations[error.index].name}: {reason}") from None
