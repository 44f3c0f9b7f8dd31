"""Short outputs of DFT codes, as far as ASE's readers need them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import GPa, create_units

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
    return "\n".join(lines)
