"""A model evaluated by LAMMPS through `kim init`, on any number of ranks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from torchml.errors import TorchMLError
from torchml.inference.evaluation import Evaluation
from torchml.validation.kim_client import last_error
from torchml.voigt import COLUMNS, ROWS

TIMEOUT = 900  # s
LAST_LINES = 4


@dataclass(frozen=True)
class Units:
    """A unit style of LAMMPS (CODATA 2018).

    Attributes:
        length: Å.
        energy: eV.
        mass: atomic masses.
        pressure: factor of LAMMPS from energy per volume to pressure, with the digits of LAMMPS.
    """

    length: float
    energy: float
    mass: float
    pressure: float


ATOMIC_MASS = 1.66053906660e-27  # kg
UNITS = {
    "metal": Units(1.0, 1.0, 1.0, 1.6021765e6),
    "real": Units(1.0, 4184 / 6.02214076e23 / 1.602176634e-19, 1.0, 68568.415),
    "si": Units(1e10, 1 / 1.602176634e-19, 1 / ATOMIC_MASS, 1.0),
    "cgs": Units(1e8, 1e-7 / 1.602176634e-19, 1e-3 / ATOMIC_MASS, 1.0),
    "electron": Units(0.529177210903, 27.211386245988, 1.0, 2.94210108e13),
}


def evaluate_with_lammps(
    model: str,
    structures: Sequence[Atoms],
    species: Sequence[str],
    *,
    ranks: int = 1,
    grids: Sequence[str] = (),
    units: str = "metal",
    particle_energies: bool = False,
    particle_virials: bool = False,
) -> list[Evaluation]:
    """Evaluate structures in static runs of LAMMPS.

    Args:
        model: name of an installed KIM model.
        structures: evaluated in one run of LAMMPS.
        species: chemical symbols of `kim interactions`.
        ranks: MPI ranks.
        grids: how the ranks divide the box of each structure, such as "2 1 1"; LAMMPS chooses if
            there are none.
        units: unit style of LAMMPS.
        particle_energies: request `compute pe/atom`.
        particle_virials: request `compute stress/atom`.

    Returns:
        One evaluation per structure, in eV and Å. The virial comes from the pressure; it is None
        for structures that are not periodic in three directions.

    Raises:
        TorchMLError: the unit style is unknown, or LAMMPS fails.
    """
    if units not in UNITS:
        raise TorchMLError(f"LAMMPS units '{units}' are unknown, expected one of {' '.join(UNITS)}")
    outputs = ["c_energies"] * particle_energies
    outputs += [f"c_virials[{component}]" for component in range(1, 7)] * particle_virials
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        boxes, script = [], []
        for number, atoms in enumerate(structures):
            box = Box.around(atoms)
            data = _data_file(box, atoms, species, UNITS[units])
            (folder / f"{number}.data").write_text(data)
            grid = grids[number] if grids else "* * *"
            script.append(_script(model, number, box, species, units, outputs, grid))
            boxes.append(box)
        run_lammps("clear\n".join(script), folder, ranks)
        return [
            _read(folder, number, box, UNITS[units], particle_energies, particle_virials)
            for number, box in enumerate(boxes)
        ]


def run_lammps(
    script: str,
    folder: Path,
    ranks: int = 1,
    variables: dict[str, str] | None = None,
    *,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: str | None = None,
    timeout: float | None = TIMEOUT,
) -> str:
    """Run LAMMPS, under `mpirun` for several ranks, and return its log.

    Args:
        script: the input script.
        folder: working folder.
        ranks: MPI ranks.
        variables: index variables of the script (`-var`).
        options: further options of LAMMPS.
        environment: variables of the environment beside those of this process.
        program: path of LAMMPS; None is `lmp` on the PATH.
        timeout: s; None waits for any time.

    Raises:
        TorchMLError: LAMMPS fails; contains its last lines and the reason in kim.log.
    """
    (folder / "in.lammps").write_text(script)
    command = [program or _program("lmp"), "-in", "in.lammps"]
    command += ["-log", "log.lammps", "-screen", "none", *options]
    for name, value in (variables or {}).items():
        command += ["-var", name, value]
    if ranks > 1:
        command = [_program("mpirun"), "-np", str(ranks), *command]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**mpi_environment(), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TorchMLError(f"LAMMPS on {ranks} ranks did not end within {timeout} s") from None
    log_file = folder / "log.lammps"
    log = log_file.read_text(errors="replace") if log_file.exists() else ""
    if done.returncode != 0:
        reason = " / ".join(filter(None, [last_error(folder / "kim.log"), _last_lines(log)]))
        raise TorchMLError(
            f"LAMMPS on {ranks} rank{'s' * (ranks > 1)} ended with {done.returncode}: "
            + (reason or _last_lines(done.stderr) or "it printed nothing")
        )
    return log


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join([line for line in lines if line.startswith("ERROR")] or lines[-LAST_LINES:])


def mpi_environment() -> dict[str, str]:
    """Return the environment with settings by which OpenMPI runs as root and on few cores."""
    return {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # A rank that waits would keep a core that another rank needs.
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",  # OpenMPI 4
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # OpenMPI 5
    }


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise TorchMLError(f"the program '{name}' is not on the PATH, expected LAMMPS and MPI")
    return path


@dataclass(frozen=True)
class Box:
    """A structure in the frame of LAMMPS: a lower triangular cell, its first vector along x.

    Attributes:
        edges: [3, 3], rows are the box vectors, Å.
        origin: [3], Å.
        positions: [N, 3], Å.
        turn: [3, 3], rotates row vectors of the structure into this frame.
        pbc: [3], periodic directions.
    """

    edges: NDArray[np.float64]
    origin: NDArray[np.float64]
    positions: NDArray[np.float64]
    turn: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    @classmethod
    def around(cls, atoms: Atoms) -> Box:
        """Return the box of a structure; it is wider than the atoms where not periodic."""
        cell, pbc = atoms.cell.array.copy(), np.asarray(atoms.pbc)
        # Vectors of directions that are not periodic have no meaning: take normal ones.
        periodic = cell[pbc]
        cell[~pbc] = np.linalg.svd(periodic)[2][len(periodic) :] if pbc.any() else np.eye(3)
        if np.linalg.det(cell) < 0:
            cell[0] *= -1  # the same lattice, right-handed
        q, r = np.linalg.qr(cell.T)
        turn = q * np.sign(np.diag(r))
        edges = np.tril(cell @ turn)
        positions = atoms.positions @ turn
        origin = np.zeros(3)
        for axis in np.flatnonzero(~pbc):
            inside = positions[:, axis]
            origin[axis] = inside.min() - 1.0
            edges[axis, axis] = np.ptp(inside) + 2.0
        return cls(edges=edges, origin=origin, positions=positions, turn=turn, pbc=pbc)


def _data_file(box: Box, atoms: Atoms, species: Sequence[str], units: Units) -> str:
    low, high = box.origin / units.length, (box.origin + np.diag(box.edges)) / units.length
    xy, xz, yz = box.edges[[1, 2, 2], [0, 0, 1]] / units.length
    lines = ["structure", "", f"{len(atoms)} atoms", f"{len(species)} atom types", ""]
    for axis, a, b in zip("xyz", low.tolist(), high.tolist(), strict=True):
        lines.append(f"{a!r} {b!r} {axis}lo {axis}hi")
    lines += [f"{float(xy)!r} {float(xz)!r} {float(yz)!r} xy xz yz", "", "Masses", ""]
    for number, symbol in enumerate(species, start=1):
        mass = float(atomic_masses[atomic_numbers[symbol]]) / units.mass
        lines.append(f"{number} {mass!r}")
    lines += ["", "Atoms # atomic", ""]
    types = [species.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    for number, (kind, (x, y, z)) in enumerate(
        zip(types, (box.positions / units.length).tolist(), strict=True), start=1
    ):
        lines.append(f"{number} {kind} {x!r} {y!r} {z!r}")
    return "\n".join(lines) + "\n"


def _script(
    model: str,
    number: int,
    box: Box,
    species: Sequence[str],
    units: str,
    outputs: list[str],
    grid: str,
) -> str:
    boundary = " ".join("p" if repeats else "f" for repeats in box.pbc)
    pressures = " ".join(f"$({name}:%.17g)" for name in ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy"))
    # The default, 2,000 neighbours of an atom, is too small for long cutoffs and their ghosts.
    return f"""\
kim init {model} {units}
boundary {boundary}
processors {grid}
box tilt large
neigh_modify one 20000 page 200000
read_data {number}.data
kim interactions {" ".join(species)}
compute energies all pe/atom
compute virials all stress/atom NULL virial
dump results all custom 1 {number}.dump id fx fy fz {" ".join(outputs)}
dump_modify results sort id format float %.17g
thermo_style custom step pe pxx pyy pzz pyz pxz pxy
thermo_modify norm no
run 0 post no
print "$(pe:%.17g) {pressures}" file {number}.thermo screen no
"""


def _read(
    folder: Path,
    number: int,
    box: Box,
    units: Units,
    particle_energies: bool,
    particle_virials: bool,
) -> Evaluation:
    thermo = np.fromstring((folder / f"{number}.thermo").read_text(), sep=" ")
    text = (folder / f"{number}.dump").read_text()
    columns = np.loadtxt(text.split("ITEM: ATOMS", 1)[1].splitlines()[1:], ndmin=2)
    volume = float(np.prod(np.diag(box.edges)))
    virial = None
    if box.pbc.all():
        # LAMMPS: pressure = -dE/dstrain / volume for atoms at rest.
        virial = _turned(-thermo[1:] / units.pressure * units.energy, box.turn)
        virial = virial * volume / units.length**3
    energies = columns[:, 4] * units.energy if particle_energies else None
    virials = None
    if particle_virials:
        # stress/atom is pressure x volume with a minus, in the order xx yy zz xy xz yz.
        ours = columns[:, -6:][:, [0, 1, 2, 5, 4, 3]] / units.pressure * units.energy
        virials = np.array([_turned(row, box.turn) for row in ours])
    return Evaluation(
        energy=float(thermo[0]) * units.energy,
        forces=columns[:, 1:4] * (units.energy / units.length) @ box.turn.T,
        virial=virial,
        particle_energies=energies,
        particle_virials=virials,
    )


def _turned(voigt: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate a symmetric tensor xx yy zz yz xz xy from the frame of LAMMPS to the structure's."""
    xx, yy, zz, yz, xz, xy = voigt
    tensor = turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T
    return np.asarray(tensor[ROWS, COLUMNS])
