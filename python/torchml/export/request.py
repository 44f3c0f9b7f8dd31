"""What to export, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torchml import kim
from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.export.accuracy import Tolerance
from torchml.export.forms import FORMATS
from torchml.importers.opening import Foreign
from torchml.inference.compiled import SUFFIX
from torchml.reference.agreement import Check


@dataclass(frozen=True)
class Request:
    """What to export, and under which name.

    Attributes:
        model: TorchScript or compiled archive, checkpoint of a training, or model of another
            package, a file or a name that the package knows.
        name: KIM name of the model, with or without its ID; None makes one of the class and the
            elements of a checkpoint, or of the name of an archive.
        facts: what the caller declares; the rest is read from the archive. The
            convention is that for which a checkpoint is scripted; None is that of its network,
            mostly `edges`. The dtype is that of the exported network; None is float64.
        descriptor: file with the parameters of the model's descriptor, YAML or descriptor.dat.
        output: folder in which the model folder is made.
        driver: KIM ID of the model driver that runs the model.
        collection: KIM collection to install the model into; None installs nothing.
        overwrite: replace a model folder, and an installed model, of this name.
        compress: replace what depends on the distance alone in a checkpoint by splines, with at
            most these errors.
        title: title in kimspec.edn.
        description: description in kimspec.edn.
        author: author in kimspec.edn and in the metadata of the archive.
        references: publications about the model; None keeps those of an archive.
        training_data: what the model was trained on; None keeps that of an archive.
        format: torchscript; aoti, energy and derivative compiled ahead of time, without
            TorchScript; both; or None, see `torchml.export.forms.choose`.
        instruction_set: of compiled models: avx2, avx512 or native; None is avx2 on x86-64.
        device: of compiled models: cpu or cuda, for which the model is compiled.
        progress: called with the name of each long step before it starts.
        source: package whose model it is, or FILE.py:function; None for a checkpoint or an archive.
        head: which head, modality or fidelity of a model of another package with several.
        python: of an environment with torch and this package; None is the one that runs.
        committee: further members of a committee, opened as `model`; empty for one model.
        add: what is added to the model: see `torchml.importers.adding.added`.
    """

    model: Path | str
    name: str | None = None
    facts: ModelMetadata = field(default_factory=ModelMetadata)
    descriptor: Path | None = None
    output: Path = Path()
    driver: str = kim.DRIVER
    collection: str | None = None
    overwrite: bool = False
    compress: Tolerance | None = None
    title: str | None = None
    description: str | None = None
    author: str | None = None
    references: tuple[str, ...] | None = None
    training_data: str | None = None
    format: str | None = None
    instruction_set: str | None = None
    device: str = "cpu"
    progress: Callable[[str], None] = lambda step: None
    source: str | None = None
    head: str | None = None
    python: str | Path | None = None
    committee: tuple[Path | str, ...] = ()
    add: tuple[str, ...] = ()

    def foreign(self) -> Foreign | None:
        """How a model of another package is read; None for a checkpoint or an archive."""
        if self.source is None:
            return None
        facts = self.facts
        return Foreign(
            self.source,
            facts.species,
            self.head,
            facts.dtype,
            self.python,
            facts.cutoff,
            facts.layers,
        )

    def require_consistent(self) -> None:
        """Refuse options that contradict each other; no file is read."""
        if self.format not in (None, *FORMATS):
            raise TorchMLError(f"the format is '{self.format}', expected {' | '.join(FORMATS)}")
        if self.format == "torchscript" and (self.instruction_set or self.device != "cpu"):
            raise TorchMLError(
                "an instruction set or a device is given for the format 'torchscript', whose "
                "archives run on any; expected the format 'aoti' or 'both'"
            )
        if self.source is None and (self.head or self.python):
            raise TorchMLError(
                "--head and --python are for models of other packages, expected --from with them"
            )
        compiled = [one for one in (self.model, *self.committee) if Path(one).suffix == SUFFIX]
        if compiled and (changes := self._changes()):
            raise TorchMLError(
                f"{compiled[0]} is compiled already and is exported as it is, expected the "
                f"checkpoint or the TorchScript archive where {changes[0]} is given"
            )

    @property
    def is_compiled(self) -> bool:
        """The model is a compiled archive."""
        return self.source is None and Path(self.model).suffix == SUFFIX

    def _changes(self) -> list[str]:
        """Names of what is given and would change an archive."""
        declared = [name for name, value in vars(self.facts).items() if value is not None]
        return declared + [
            name for name in _CHANGES if getattr(self, name) != getattr(_PLAIN, name)
        ]


_PLAIN = Request("")
# What would change an archive.
_CHANGES = (
    *("descriptor", "compress", "references", "training_data", "format", "instruction_set"),
    *("device", "source", "committee", "add"),
)


@dataclass(frozen=True)
class Result:
    """The outcome of an export.

    Attributes:
        checks: what was checked, in order.
        facts: the metadata of the exported model; None where they are not known.
        folder: the folder of the portable model; None where a check failed and nothing was
            written.
    """

    checks: list[Check]
    facts: ModelMetadata | None = None
    folder: Path | None = None
