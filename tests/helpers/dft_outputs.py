"""Short outputs of DFT codes, as far as ASE's readers need them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import Bohr, GPa, Hartree, create_units

_QE = create_units("2006")


def _rows(name: str, values: np.ndarray) -> str:
    lines = "".join(f"<v>{' '.join(f'{x:.12f}' for x in row)}</v>\n" for row in values)
    return f'<varray name="{name}">\n{lines}</varray>\n'


def _structure(atoms: Atoms, name: str = "") -> str:
    return (
        f"<structure{name}>\n<crystal>\n{_rows('basis', atoms.cell.array)}</crystal>\n"
        f"{_rows('positions', atoms.get_scaled_positions())}</structure>\n"
    )


def vasprun(steps: list[Atoms], smearing: float = 0.02) -> str:
    """The vasprun.xml of some steps; the free energy is lower than E(sigma->0) by `smearing`."""
    entries = "".join(f"<rc><c>{s}</c><c>1</c></rc>\n" for s in steps[0].symbols)
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<kpoints>\n'
        '<varray name="kpointlist"><v>0 0 0</v></varray>'
        '<varray name="weights"><v>1</v></varray>\n</kpoints>\n'
        '<parameters><i name="ENCUT">300.0</i></parameters>\n'
        f'<atominfo><array name="atoms"><set>\n{entries}</set></array></atominfo>\n'
        + _structure(steps[0], ' name="initialpos"')
    )
    for atoms in steps:
        results = atoms.calc.results
        xx, yy, zz, yz, xz, xy = -10 * results["stress"] / GPa
        energies = (
            f'<i name="e_fr_energy">{results["energy"] - smearing:.12f}</i>'
            f'<i name="e_0_energy">{results["energy"]:.12f}</i>'
        )
        text += (
            f"<calculation>\n<scstep><energy>{energies}</energy></scstep>\n{_structure(atoms)}"
            + _rows("forces", results["forces"])
            + _rows("stress", np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
            + f"<energy>{energies}</energy>\n</calculation>\n"
        )
    return text + "</modeling>\n"


def pwscf(atoms: Atoms) -> str:
    """The output of pw.x for one structure."""
    results, alat = atoms.calc.results, 10.0
    bohr, ry = _QE["Bohr"], _QE["Ry"]
    cell = atoms.cell.array / (alat * bohr)
    kinds = sorted(set(atoms.symbols))
    lines = [
        "     Program PWSCF v.7.2 starts on  1Jan2026",
        f"     lattice parameter (alat)  =  {alat:.6f}  a.u.",
        f"     number of atoms/cell      =  {len(atoms)}",
        f"     number of atomic types    =  {len(kinds)}",
        f"     celldm(1)=  {alat:.6f}  celldm(2)=  0.0  celldm(3)=  0.0",
        "     crystal axes: (cart. coord. in units of alat)",
        *(
            f"     a({k + 1}) = ( {row[0]:.9f} {row[1]:.9f} {row[2]:.9f} )"
            for k, row in enumerate(cell)
        ),
        "     atomic species   valence    mass     pseudopotential",
        *(f"        {kind}  4.00  28.0  {kind}( 1.00)" for kind in kinds),
        "     site n.     atom                  positions (alat units)",
        *(
            f"     {k + 1}  {s}  tau( {k + 1}) = ( {x:.9f} {y:.9f} {z:.9f} )"
            for k, (s, (x, y, z)) in enumerate(
                zip(atoms.symbols, atoms.positions / (alat * bohr), strict=True)
            )
        ),
        f"!    total energy              =  {results['energy'] / ry:.12f} Ry",
        "     Forces acting on atoms (cartesian axes, Ry/au):",
        "",
        *(
            f"     atom {k + 1} type  1   force = {x:.12f} {y:.12f} {z:.12f}"
            for k, (x, y, z) in enumerate(results["forces"] / (ry / bohr))
        ),
        "",
        "     JOB DONE.",
        "",
    ]
    if "stress" in results:
        xx, yy, zz, yz, xz, xy = -results["stress"] * bohr**3 / ry
        tensor = ((xx, xy, xz), (xy, yy, yz), (xz, yz, zz))
        lines[-3:-3] = [
            "     Computing stress (Cartesian axis) and pressure",
            "          total   stress  (Ry/bohr**3)                   (kbar)     P=       0.00",
            *(f"  {x:.12f} {y:.12f} {z:.12f}        0.00  0.00  0.00" for x, y, z in tensor),
        ]
    return "\n".join(lines)


def outcar(steps: list[Atoms], smearing: float = 0.02) -> str:
    """The OUTCAR of some steps; the free energy is lower than E(sigma->0) by `smearing`."""
    kinds = list(dict.fromkeys(steps[0].symbols))
    counts = [list(steps[0].symbols).count(kind) for kind in kinds]
    lines = [
        " vasp.6.4.3 19Mar24 (build Mar 20 2024) complex",
        *(2 * [f" POTCAR:    PAW_PBE {kind} 22Jun2005" for kind in kinds]),
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands"
        "    NBANDS=     20",
        f"   ions per type =            {'  '.join(map(str, counts))}",
        "   ISPIN  =      1    spin polarized calculation?",
        " k-points in reciprocal lattice and weights: Gamma",
        "   0.00000000  0.00000000  0.00000000       1.000",
    ]
    for k, atoms in enumerate(steps):
        results = atoms.calc.results
        xx, yy, zz, yz, xz, xy = -10 * results["stress"] / GPa
        rows = np.hstack([atoms.cell.array, np.linalg.inv(atoms.cell.array).T])
        lines += [
            f"--------------------- Iteration {k + 1:6}(   1)  ---------------------",
            f"  in kB  {xx:14.8f}{yy:14.8f}{zz:14.8f}{xy:14.8f}{yz:14.8f}{xz:14.8f}",
            "      direct lattice vectors                 reciprocal lattice vectors",
            *("".join(f"{x:14.9f}" for x in row) for row in rows),
            " POSITION                                       TOTAL-FORCE (eV/Angst)",
            " " + 83 * "-",
            *(
                "".join(f"{x:14.8f}" for x in row)
                for row in np.hstack([atoms.positions, results["forces"]])
            ),
            " " + 83 * "-",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  ---------------------------------------------------",
            f"  free  energy   TOTEN  =  {results['energy'] - smearing:18.8f} eV",
            "",
            f"  energy  without entropy= {results['energy'] + smearing:18.8f}"
            f"  energy(sigma->0) = {results['energy']:18.8f}",
        ]
    return "\n".join([*lines, " General timing and accounting informations for this job:", ""])


def _aims_structure(atoms: Atoms) -> list[str]:
    lines = [f"  lattice_vector {x:18.10f} {y:18.10f} {z:18.10f}" for x, y, z in atoms.cell.array]
    for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True):
        lines.append(f"            atom {x:18.10f} {y:18.10f} {z:18.10f}  {symbol}")
    return lines


def aims(steps: list[Atoms]) -> str:
    """The output of dynamics with FHI-aims: each structure follows its energy and forces."""
    first = steps[0]
    lines = [
        "          Invoking FHI-aims ...",
        f"  | Number of atoms                   : {len(first)}",
        "  | Number of spin channels           :  1",
        "  | Unit cell:",
        *(f"  | {x:18.10f} {y:18.10f} {z:18.10f}" for x, y, z in first.cell.array),
        "  | Atomic structure:",
        "  |       Atom                x [A]            y [A]            z [A]",
        *(
            f"  | {k + 1}: Species {symbol} {x:18.10f} {y:18.10f} {z:18.10f}"
            for k, (symbol, (x, y, z)) in enumerate(
                zip(first.symbols, first.positions, strict=True)
            )
        ),
        f"  The structure contains {len(first)} atoms,  and a total of  29.000 electrons.",
        "  | Number of Kohn-Sham states (occupied + empty):   20",
        "  Begin self-consistency iteration #    1",
    ]
    for k, atoms in enumerate(steps):
        results = atoms.calc.results
        xx, yy, zz, yz, xz, xy = results["stress"]
        if k > 0:
            lines.append("          Begin self-consistency loop: Re-initialization.")
        lines += [
            "  +-------------------------------------------------------------------+",
            "  |              Analytical stress tensor - Symmetrized               |",
            "  |                  Cartesian components [eV/A**3]                   |",
            "  +-------------------------------------------------------------------+",
            "  |                x                y                z                |",
            "  |                                                                   |",
            f"  |  x  {xx:16.10f} {xy:16.10f} {xz:16.10f}             |",
            f"  |  y  {xy:16.10f} {yy:16.10f} {yz:16.10f}             |",
            f"  |  z  {xz:16.10f} {yz:16.10f} {zz:16.10f}             |",
            f"  | Total energy uncorrected      : {results['energy'] + 0.01:24.15E} eV",
            f"  | Electronic free energy        : {results['energy']:24.15E} eV",
            "  Total atomic forces (unitary forces cleaned) [eV/Ang]:",
            *(
                f"  | {n + 1:4} {x:24.15E} {y:24.15E} {z:24.15E}"
                for n, (x, y, z) in enumerate(results["forces"])
            ),
            "  Atomic structure (and velocities) as used in the preceding time step:",
            "                         x [A]             y [A]             z [A]",
            *_aims_structure(atoms),
        ]
    return "\n".join([*lines, "", "          Have a nice day.", ""])


def cp2k(atoms: Atoms, version: str = "2025.1") -> str:
    """The output of CP2K for one structure, in the form of 6.1, 2024.1 or 2025.1."""
    results = atoms.calc.results
    is_old, is_new = version.startswith("6"), version.startswith("2025")
    energy = "(a.u.):" if is_old else "[hartree]" if is_new else "[a.u.]:"
    periodic = "".join("XYZ"[k] for k in range(3) if atoms.pbc[k]) or "NONE"
    digits = 3 if is_old else 6
    angles = zip(
        ("b,c", "a,c", "a,b"), ("alpha", "beta ", "gamma"), atoms.cell.angles(), strict=True
    )
    forces = results["forces"] * Bohr / Hartree
    names = [f"{k + 1:7} {1:6}      {symbol:2}" for k, symbol in enumerate(atoms.symbols)]
    lines = [
        f" CP2K| version string:                     CP2K version {version}",
        " GLOBAL| Run type                                 ENERGY_FORCE",
        f" CELL| Volume [angstrom^3]:  {atoms.cell.volume:16.6f}",
        *(
            f" CELL| Vector {axis} [angstrom]:  {x:10.3f}{y:10.3f}{z:10.3f}"
            f"   |{axis}| = {np.linalg.norm([x, y, z]):12.{digits}f}"
            for axis, (x, y, z) in zip("abc", atoms.cell.array, strict=True)
        ),
        *(
            f" CELL| Angle ({pair}), {name} [degree]:   {angle:12.{digits}f}"
            for pair, name, angle in angles
        ),
        *([] if is_old else [f" CELL| Periodicity   {periodic}"]),
        " CELL_REF| Vector a [angstrom     9.999     0.000     0.000   |a| =     9.999000",
        f" MODULE QUICKSTEP:  ATOMIC COORDINATES IN {'angstrom' if is_old else 'ANGSTROM'}",
        "",
        "  Atom  Kind  Element       X           Y           Z          Z(eff)       Mass",
        *([""] if is_old else []),
        *(
            f"{name} {number:4} {x:12.6f} {y:12.6f} {z:12.6f}     11.0000   63.5460"
            for name, number, (x, y, z) in zip(names, atoms.numbers, atoms.positions, strict=True)
        ),
        "",
        f" POISSON| Periodicity                                          {periodic}",
        "  *** SCF run converged in    10 steps ***",
        f" ENERGY| Total FORCE_EVAL ( QS ) energy {energy}  {results['energy'] / Hartree:.15f}",
        "",
    ]
    if is_new:
        lines += [
            " FORCES| Atomic forces [hartree/bohr]",
            " FORCES|   Atom     x               y               z               |f|",
            *(
                f" FORCES| {k + 1:6} {x:16.8E} {y:16.8E} {z:16.8E} {length:16.8E}"
                for k, ((x, y, z), length) in enumerate(
                    zip(forces, np.linalg.norm(forces, axis=1), strict=True)
                )
            ),
            " FORCES| Sum     0.00000000E+00  0.00000000E+00  0.00000000E+00",
        ]
    else:
        lines += [
            " ATOMIC FORCES in [a.u.]",
            "",
            " # Atom   Kind   Element          X              Y              Z",
            *(
                f"{name}     {x:14.8f} {y:14.8f} {z:14.8f}"
                for name, (x, y, z) in zip(names, forces, strict=True)
            ),
            " SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000   0.00000000",
        ]
    if "stress" in results:
        lines += ["", *_cp2k_stress(results["stress"], is_old, is_new)]
    return "\n".join([*lines, "", "  **** **** ******  **  PROGRAM ENDED AT    2026-01-01 ", ""])


def _cp2k_stress(stress: np.ndarray, is_old: bool, is_new: bool) -> list[str]:
    xx, yy, zz, yz, xz, xy = -stress / (1e-4 * GPa if is_new else GPa)
    rows = [(xx, xy, xz), (xy, yy, yz), (xz, yz, zz)]
    if is_old:
        return [
            " STRESS TENSOR [GPa]",
            "",
            "            X               Y               Z",
            *(
                f"  {axis} {x:16.8f}{y:16.8f}{z:16.8f}"
                for axis, (x, y, z) in zip("XYZ", rows, strict=True)
            ),
            "",
            "  1/3 Trace(stress tensor):  -8.06617027E+00",
        ]
    return [
        f" STRESS| Analytical stress tensor [{'bar' if is_new else 'GPa'}]",
        " STRESS|                        x                   y                   z",
        *(
            f" STRESS|      {axis}  {x:20.11E}{y:20.11E}{z:20.11E}"
            for axis, (x, y, z) in zip("xyz", rows, strict=True)
        ),
        " STRESS| 1/3 Trace                                             4.62050707128E+00",
        "",
        " STRESS| Eigenvectors and eigenvalues of the analytical stress tensor [GPa]",
        " STRESS|      x          -0.471232171195      0.821126599550     -0.322011410268",
    ]
