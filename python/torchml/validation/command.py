"""`torchml check MODEL`: the same structures through every interface, in one table."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from torchml import kim
from torchml.contract import metadata
from torchml.errors import FileError, ModelError, TorchMLError
from torchml.export import Export, export
from torchml.importers import arguments
from torchml.importers.opening import opened
from torchml.inference.evaluation import Evaluation
from torchml.inference.files import model_files
from torchml.inference.potential import Potential
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel
from torchml.reference.agreement import (
    Agreement,
    Check,
    agreement,
    compared,
    difference,
    failure,
)
from torchml.reference.model import EagerModel, ReferenceModel
from torchml.reference.structures import default_structures, read_structures
from torchml.validation.checks import checks_for
from torchml.validation.kim_client import KimModel, kim_log_explains
from torchml.validation.lammps import evaluate_with_lammps
from torchml.validation.report import print_report

RANKS = (1, 2)

Evaluator = Callable[[Atoms], Evaluation]


def texts() -> dict[str, str]:
    """Return the texts of the parser of the command."""
    return {
        "description": "Compare a model on the same structures in Python, C++, KIM-API, ASE and "
        "LAMMPS, and check derivatives and symmetries.",
        "epilog": "torchml validate --config FILE reports the errors on validation data instead.",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "model",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )
    arguments.add_arguments(parser)
    parser.add_argument(
        "--structures",
        metavar="FILE",
        help="structures to evaluate, in any format that ASE reads (default: small structures "
        "that fit species and cutoff of the model)",
    )
    parser.add_argument(
        "--device", default="cpu", help="device of C++, KIM and LAMMPS: cpu (default), cuda, cuda:K"
    )
    parser.add_argument("--no-lammps", action="store_true", help="leave LAMMPS out")


def run(args: argparse.Namespace) -> int:
    """Check the model, print the table, and return 0 if everything agrees, else 1."""
    console = Console(emoji=False)
    with (
        _progress(console) as progress,
        opened(args.model, foreign=arguments.foreign_of(args)) as source,
        installed_model(args.model if source.trained is None else source.archive) as name,
    ):
        checks = validate(
            args.model if source.trained is None else source.archive,
            name,
            trained=source.trained,
            structures=read_structures(args.structures) if args.structures else None,
            device=args.device,
            lammps=not args.no_lammps,
            progress=progress,
        )
    print_report(console, f"{name} on {args.device} against the C++ core", checks)
    failed = len({check.name for check in checks if not check.passed})
    if args.no_lammps:
        console.print("LAMMPS was left out on request.", style="yellow")
    if failed:
        console.print(f"{failed} checks failed.", style="bold red")
    return 1 if failed else 0


def validate(
    model: str | Path,
    name: str,
    *,
    trained: EdgeModel | StagedModel | None = None,
    structures: Mapping[str, Atoms] | None = None,
    device: str = "cpu",
    lammps: bool = True,
    progress: Progress | None = None,
) -> list[Check]:
    """Compare all interfaces to a model with the C++ core.

    Args:
        model: archive or folder of the model.
        name: its name in a KIM collection.
        trained: the model of a checkpoint in Python, before scripting; compared too.
        structures: structures by name; small default ones if None.
        device: "cpu", "cuda" or "cuda:K", of C++, KIM and LAMMPS.
        lammps: compare LAMMPS too.
        progress: shows the steps.

    Returns:
        One check per property and structure.
    """
    potential = Potential(model, device)
    with model_files(model) as path:
        reference = ReferenceModel(path, potential.spec)
    eager = None if trained is None else EagerModel(trained, potential.spec)
    if structures is None:
        structures = default_structures(potential.spec.species, potential.spec.cutoff)
    allowed = agreement(potential.spec.dtype)
    progress = progress or Progress(disable=True)

    with environment(KIM_MODEL_EXECUTION_DEVICE=device):
        clients = Clients(potential, reference, name, eager)
        steps = len(structures) * (len(clients.evaluators) + 2) + len(RANKS) * lammps
        task = progress.add_task("", total=steps)

        def begin(what: str) -> None:
            progress.update(task, advance=1, description=what)

        checks: list[Check] = []
        expected: dict[str, Evaluation] = {}
        for structure, atoms in structures.items():
            begin(f"C++ core: {structure}")
            try:
                expected[structure] = clients.core(atoms)
            except TorchMLError as error:
                checks.append(failure("C++ core", structure, error))
        for structure, wanted in expected.items():
            atoms = structures[structure]
            for client, evaluate in clients.evaluators.items():
                begin(f"{client}: {structure}")
                try:
                    evaluation = evaluate(atoms)
                except Exception as error:  # any failure of a client is a failed check
                    checks.append(failure(client, structure, error))
                else:
                    checks += compare(client, structure, evaluation, wanted, allowed.parity)
        for ranks in RANKS if lammps else ():
            begin(f"LAMMPS: {ranks} rank{'s' * (ranks > 1)}")
            checks += _lammps(clients, ranks, structures, expected, allowed.parity)
        for structure in expected:
            begin(f"derivatives and symmetries: {structure}")
            checks += _physics(clients, structure, structures[structure], allowed)
        progress.update(task, completed=steps, description="done")
    return checks


@dataclass
class Clients:
    """The interfaces to a model: each evaluates a structure.

    Attributes:
        potential: the model in the C++ core.
        reference: the model in Python, its inputs built without C++.
        name: its name in a KIM collection.
        eager: the model of a checkpoint, before scripting.
    """

    potential: Potential
    reference: ReferenceModel
    name: str
    eager: EagerModel | None = None

    def core(self, atoms: Atoms) -> Evaluation:
        """Evaluate in the C++ core everything that the model supports."""
        return self.potential.evaluate(
            atoms,
            virial=True,
            particle_energies=self.potential.energy_kind != "total",
            particle_virials=self.potential.spec.convention == "edges",
        )

    @property
    def evaluators(self) -> dict[str, Evaluator]:
        """All interfaces but LAMMPS, which takes several structures at once, by name."""
        evaluators: dict[str, Evaluator] = {
            "Python": self.reference.evaluate,
            "KIM": self._kim,
            "ASE": self._ase,
        }
        if self.eager is not None:
            evaluators["eager"] = self.eager.evaluate
        return evaluators

    def _kim(self, atoms: Atoms) -> Evaluation:
        with kim_log_explains(self.name):
            return KimModel(self.name).evaluate(atoms)

    def _ase(self, atoms: Atoms) -> Evaluation:
        from ase.calculators.kim import KIM  # looks for KIM-API when imported

        with kim_log_explains(self.name):
            atoms = atoms.copy()
            atoms.calc = KIM(self.name)
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            virial = atoms.get_stress() * atoms.get_volume() if atoms.pbc.all() else None
        return Evaluation(energy=energy, forces=forces, virial=virial)


def compare(
    client: str, structure: str, evaluation: Evaluation, expected: Evaluation, tolerance: float
) -> list[Check]:
    """Return one check per quantity that both evaluations contain."""
    assert expected.forces is not None
    atoms = len(expected.forces)
    checks = []
    for quantity, sums in (
        ("energy", atoms),
        ("forces", 1),
        ("virial", atoms),
        ("particle_energies", 1),
    ):
        value, wanted = getattr(evaluation, quantity), getattr(expected, quantity)
        if value is not None and wanted is not None:
            name = f"{client}: {quantity.replace('particle', 'atomic').replace('_', ' ')}"
            checks.append(compared(name, structure, difference(value, wanted, sums), tolerance))
    if evaluation.particle_virials is not None and expected.virial is not None:
        relative = difference(evaluation.particle_virials.sum(axis=0), expected.virial, atoms)
        checks.append(compared(f"{client}: atomic virials", structure, relative, tolerance))
    return checks


def _physics(clients: Clients, structure: str, atoms: Atoms, allowed: Agreement) -> list[Check]:
    evaluate = clients.core
    checks = []
    for name, (function, tolerance) in checks_for(atoms, allowed).items():
        try:
            checks.append(compared(name, structure, function(evaluate, atoms), tolerance))
        except TorchMLError as error:
            checks.append(failure(name, structure, error))
    if clients.potential.device != "cpu":
        return checks  # GPUs sum in any order
    first, second = evaluate(atoms), evaluate(atoms)
    assert first.forces is not None
    assert second.forces is not None
    same = first.energy == second.energy and np.array_equal(first.forces, second.forces)
    checks.append(compared("repeated call, bit for bit", structure, 0.0 if same else 1.0, 0.0))
    return checks


def _lammps(
    clients: Clients,
    ranks: int,
    structures: Mapping[str, Atoms],
    expected: Mapping[str, Evaluation],
    tolerance: float,
) -> list[Check]:
    client = f"LAMMPS {ranks} rank{'s' * (ranks > 1)}"
    if not expected:
        return [failure(client, "", "the C++ core evaluated no structure")]
    first = next(iter(expected.values()))
    try:
        results = evaluate_with_lammps(
            clients.name,
            [structures[structure] for structure in expected],
            list(clients.potential.spec.species),
            ranks=ranks,
            particle_energies=first.particle_energies is not None,
            particle_virials=first.particle_virials is not None,
        )
    except TorchMLError as error:
        return [failure(client, "", error)]
    checks = []
    for (structure, wanted), evaluation in zip(expected.items(), results, strict=True):
        checks += compare(client, structure, evaluation, wanted, tolerance)
    return checks


@contextmanager
def installed_model(model: str | Path) -> Iterator[str]:
    """Yield the name of an installed KIM model; a folder or an archive is installed temporarily.

    It is installed into a separate collection, before the others in KIM_API_PORTABLE_MODELS_DIR.

    Raises:
        FileError: no model has this name.
        ModelError: the model cannot be exported.
    """
    path = Path(model)
    if not path.exists():
        if kim.installed_folder(str(model)) is None:
            raise FileError(
                f"'{model}' is neither a folder, nor a file, nor a model in any KIM collection"
            )
        yield str(model)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = path.resolve() if path.is_dir() else _exported(path, Path(scratch))
        name = _project_name(folder)
        if kim.installed_folder(name):  # a name can be installed only once
            folder, name = _renamed(folder, name, Path(scratch))
        collection = Path(scratch) / "collection"
        collection.mkdir()
        others = os.environ.get("KIM_API_PORTABLE_MODELS_DIR")
        collections = f"{collection}:{others}" if others else str(collection)
        # KIM-API refuses a name that any of its collections holds: hide the others.
        with environment(KIM_API_PORTABLE_MODELS_DIR=str(collection)):
            kim.install(folder, "environment")
        with environment(KIM_API_PORTABLE_MODELS_DIR=collections):
            yield name


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables inside the context."""
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _exported(path: Path, parent: Path) -> Path:
    """Export an archive with metadata, and return the folder."""
    if metadata.read(path) is None:
        raise ModelError(
            f"{path} has no metadata, expected them in the archive: export it with "
            "'torchml export' and check the folder that this writes"
        )
    words = re.findall("[A-Za-z0-9]+", path.stem)
    result = export(Export(path, name="_".join(["Validation", *words]), output=parent))
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise ModelError(f"{path} cannot be exported: {failed.name}: {failed.detail}")
    return result.folder


def _renamed(folder: Path, name: str, parent: Path) -> tuple[Path, str]:
    """Copy the folder of a portable model under another name."""
    other = f"Checked_{name}"
    copy = shutil.copytree(folder, parent / other)
    file = copy / "CMakeLists.txt"
    file.write_text(re.sub(rf"(?m)^(\s*project\(\s*){name}\b", rf"\g<1>{other}", file.read_text()))
    return copy, other


def _project_name(folder: Path) -> str:
    """Return the name under which CMake installs the portable model in a folder."""
    file = folder / "CMakeLists.txt"
    text = file.read_text() if file.is_file() else ""
    match = re.search(r"^\s*project\(\s*(\w+)", text, re.MULTILINE)
    if match is None:
        raise FileError(f"{file}: no project(NAME), expected the folder of a portable model")
    return match[1]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
