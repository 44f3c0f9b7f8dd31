"""What users do in LAMMPS, a few lines of input for each.

The last step of a simulation leaves its atoms and what LAMMPS computed of them, so that the same
atoms can be evaluated anew. The variable `happened` is 0 if the simulation did not do what it is
for. LAMMPS has two types of atoms, the elements `${elements}`, which may be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

from torchml.validation.lammps import UNITS

VOIGT = (1, 2, 3, 6, 5, 4)  # LAMMPS has xy before yz
VIRIAL = " ".join(f"c_virial[{component}]" for component in VOIGT)
SHARES = " ".join(f"c_shares[{component}]" for component in VOIGT)
FLUX = " ".join(f"c_flux[{component}]" for component in range(1, 7))

START = """
clear
units metal
"""

MEASURE = f"""
compute virial all pressure NULL virial
compute kinetic all ke/atom
compute energies all pe/atom
compute shares all stress/atom NULL virial
compute flux all heat/flux kinetic energies shares
thermo_style custom step atoms vol pe {VIRIAL} {FLUX}
thermo_modify norm no
variable happened equal 1
"""

# What `kim interactions` writes; with `kim init` before it, each model would be opened twice.
MODEL = """
pair_style kim ${model}
pair_coeff * * ${elements}
"""

MATERIAL = f"""
mass 1 28.0855
mass 2 15.999
{MODEL}{MEASURE}"""

MOTION = """
displace_atoms all random 0.1 0.1 0.1 7
velocity all create 600 4711 loop geom
fix motion all nve
"""

CRYSTAL = f"""
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 2 box
create_atoms 1 box basis 8 2
{MATERIAL}{MOTION}"""

# Triclinic, tilted by nearly half of its lengths.
TILTED = f"""
box tilt large
lattice diamond 5.431
region box prism 0 2 0 2 0 2 0.9 -0.8 0.9
create_box 2 box
create_atoms 1 box basis 8 2
{MATERIAL}{MOTION}"""

# One half of the box is empty.
HALF = f"""
lattice diamond 5.431
region box block 0 4 0 2 0 2
region half block 0.1 1.9 0 2 0 2
create_box 2 box
create_atoms 1 region half basis 8 2
{MATERIAL}{MOTION}"""

CLUSTER = f"""
boundary f f f
lattice diamond 5.431
region box block -2 4 -2 4 -2 4
region inner block 0.1 1.9 0.1 1.9 0.1 1.9
create_box 2 box
create_atoms 1 region inner basis 8 2
{MATERIAL}{MOTION}"""

RELAXED = """
unfix motion
run 0
variable before equal $(pe)
"""

MORE_TYPES = f"""
write_data types.data nocoeff
clear
kim init ${{model}} metal
read_data types.data extra/atom/types 2
mass * 20.0
kim interactions ${{elements}} ${{elements}}
{MEASURE}"""

MOLECULES = """two molecules

6 atoms
4 bonds
2 angles
2 atom types
1 bond types
1 angle types

0 20 xlo xhi
0 12 ylo yhi
0 12 zlo zhi

Masses

1 28.0855
2 15.999

Atoms # full

1 1 1 0.4 1.00 1.00 1.00
2 1 2 -0.2 3.26 1.02 1.00
3 1 2 -0.2 0.66 3.23 1.00
4 2 1 0.4 11.50 1.20 1.40
5 2 2 -0.2 13.76 1.20 1.40
6 2 2 -0.2 11.16 3.43 1.40

Bonds

1 1 1 2
2 1 1 3
3 1 4 5
4 1 4 6

Angles

1 1 2 1 3
2 1 5 4 6
"""

SIMULATIONS = {
    "minimize-cg": CRYSTAL
    + RELAXED
    + """
min_style cg
minimize 0 1e-6 20 60
variable happened equal "pe < v_before - 0.01"
""",
    "minimize-fire": CRYSTAL
    + RELAXED
    + """
min_style fire
minimize 0 1e-6 24 60
variable happened equal "pe < v_before - 0.01"
""",
    "minimize-box": TILTED
    + RELAXED
    + """
variable before equal $(vol)
fix box all box/relax tri 1000.0 vmax 0.01
min_style cg
minimize 0 1e-6 12 40
variable happened equal "abs(vol - v_before) > 1"
""",
    "npt-tilted": TILTED
    + """
unfix motion
variable before equal $(xy)
fix motion all npt temp 600 600 0.05 tri 50000 50000 0.05
run 16
variable happened equal "abs(xy - v_before) > 0.01"
""",
    "deform-flip": TILTED
    + """
run 12
neigh_modify every 1 delay 0
fix shear all deform 1 xy vel 120 remap v units box
run 12
unfix shear
run 0
variable happened equal "xy < 0"
""",
    "change_box": CRYSTAL
    + """
run 12
change_box all triclinic
change_box all x scale 1.04 y scale 0.98 xy delta 1.5 remap units box
run 12
variable happened equal "xy > 1"
""",
    "change_box-slab": CRYSTAL
    + """
run 12
change_box all boundary p p f z delta -6 9 units box
run 12
variable happened equal "lz > 20"
""",
    "rerun": CRYSTAL
    + """
dump steps all custom 4 steps.lammpstrj id type x y z vx vy vz
dump_modify steps format float %.17g
run 16
undump steps
rerun steps.lammpstrj dump x y z vx vy vz
variable happened equal "step == 16"
""",
    "restart": CRYSTAL
    + f"""
run 12
write_restart steps.restart
clear
kim init ${{model}} metal
read_restart steps.restart
kim interactions ${{elements}}
{MEASURE}
fix motion all nve
run 4
variable happened equal "step == 16"
""",
    "more-types": CRYSTAL
    + """
run 1
"""
    + MORE_TYPES
    + """
group some id 3:30:3
set group some type 3
fix motion all nve
run 12
""",
    "delete_atoms": CRYSTAL
    + """
run 12
region hole sphere 1 1 1 0.6
delete_atoms region hole
run 12
variable happened equal "atoms < 64"
""",
    "deposit-empty": f"""
boundary p p f
region box block 0 10 0 10 0 20
create_box 2 box
{MATERIAL}
region top block 0 10 0 10 14 18
fix motion all nve
fix floor all wall/reflect zlo 1.0
fix rain all deposit 12 2 3 4711 region top near 1.5 vz -150 -150
run 60
variable happened equal "atoms == 12"
""",
    "evaporate": CLUSTER
    + """
fix steam all evaporate 4 2 inner 4711
run 16
variable happened equal "f_steam > 4"
""",
    "swap": CRYSTAL
    + """
fix swaps all atom/swap 8 2 4711 3000 ke no types 1 2
run 16
variable happened equal "f_swaps[2] > 0"
""",
    "gcmc": CRYSTAL
    + """
group gas type 2
fix moves gas gcmc 6 4 4 2 4711 6000 -1 0.5 full_energy
run 12
variable happened equal $(f_moves[4]+f_moves[6]>0)
unfix moves
neigh_modify exclude none
run 12
""",
    "balance-tiled": HALF
    + """
comm_style tiled
balance 1.0 rcb
fix even all balance 4 1.0 rcb
run 16
variable happened equal "f_even < 1.2"
""",
    "balance-bricks": HALF
    + """
balance 1.0 shift xyz 10 1.01
run 16
""",
    "newton-off": CRYSTAL.replace("lattice", "newton off\nlattice", 1) + "run 16\n",
    "slab": HALF.replace("lattice", "boundary f p p\nlattice", 1) + "run 16\n",
    "cluster": CLUSTER.replace("f f f", "s m f") + "run 16\n",
    "lost-atoms": CLUSTER
    + """
thermo_modify lost ignore
neigh_modify every 1 delay 0
group fast id 3 7
velocity fast set 900 0 0
variable before equal $(atoms)
run 40
variable happened equal "atoms == v_before - 2"
""",
    "bonds": f"""
atom_style full
read_data molecules.data
{MODEL}
bond_style zero
bond_coeff *
angle_style zero
angle_coeff *
special_bonds lj/coul 1 1 1
{MEASURE}{MOTION}
run 16
""",
    "empty-ranks": f"""
lattice diamond 5.431
region box block 0 8 0 2 0 2
region piece block 0.1 1.1 0.1 1.1 0.1 1.1
create_box 2 box
create_atoms 1 region piece basis 8 2
{MATERIAL}{MOTION}
neigh_modify every 1 delay 0 check yes
compute path all msd
fix far all ave/time 1 1 60 c_path[4]
velocity all set 900 0 0 sum yes
run 60
variable happened equal "sqrt(f_far) > 1.2 * lx"
""",
    "replicate": CRYSTAL
    + """
run 4
replicate 2 1 1
velocity all scale 600
run 12
group one id 3
velocity one set 30 20 10
run 12
variable happened equal "atoms == 128"
""",
    "displace_atoms": CRYSTAL
    + """
run 12
group one id 3
displace_atoms one move 0.3 0.2 -0.4 units box
run 0
displace_atoms one move 0.9 0.2 -0.4 units box
run 4
""",
    "small-skin": CRYSTAL
    + """
neighbor 0.2 nsq
neigh_modify every 1 delay 0
timestep 0.004
run 16
""",
    "respa": CRYSTAL
    + """
run_style respa 2 2 bond 1 pair 2
run 12
""",
}


VALUES = " ".join(f"$({name}:%.17g)" for name in f"pe vol {VIRIAL} {FLUX} v_happened".split())
FINISH = f"""
print "{VALUES}" file NAME.step screen no
write_dump all custom NAME.dump id type x y z vx vy vz fx fy fz c_energies {SHARES} &
  modify sort id format float %.17g
"""


def with_model(text: str, model: str, elements: str) -> str:
    """Input with the variables that name the model and the elements."""
    return f'variable model string {model}\nvariable elements string "{elements}"\n{text}'


def script(label: str, model: str, elements: str, folding: str) -> str:
    """All simulations with a model; the files of each have the name `LABEL-SIMULATION`."""
    lines = [f"shell putenv TORCHML_FOLDING={folding}"]
    for name, simulation in SIMULATIONS.items():
        # `fix gcmc` excludes atoms from neighbour lists.
        lists = "excluded" if name == "gcmc" else "complete"
        lines += [f"shell putenv TORCHML_NEIGHBORS={lists}", START, simulation]
        lines += [FINISH.replace("NAME", f"{label}-{name}")]
    return with_model("\n".join(lines), model, elements)


@dataclass(frozen=True)
class Step:
    """The last step of a simulation, in eV and Å, with the signs of an `Evaluation`.

    `flux` [3] is the part of the heat flux that stresses carry, eV Å/ps; `happened` as above.
    """

    atoms: Atoms
    velocities: NDArray[np.float64]
    energy: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    particle_energies: NDArray[np.float64]
    particle_virials: NDArray[np.float64]
    flux: NDArray[np.float64]
    happened: bool


def read_step(folder: Path, name: str, elements: str) -> Step:
    """The step that a simulation wrote; atoms of further types are of the same two elements."""
    values = np.loadtxt(folder / f"{name}.step")
    dump = folder / f"{name}.dump"
    atoms = read(dump, format="lammps-dump-text", specorder=2 * elements.split())
    columns = np.loadtxt(dump.read_text().split("ITEM: ATOMS", 1)[1].splitlines()[1:], ndmin=2)
    pressure = UNITS["metal"].pressure
    return Step(
        atoms=atoms,
        velocities=columns[:, 5:8],
        energy=values[0],
        forces=columns[:, 8:11],
        virial=-values[2:8] * values[1] / pressure,
        particle_energies=columns[:, 11],
        particle_virials=columns[:, 12:] / pressure,
        flux=values[8:11] - values[11:14],
        happened=bool(values[14]),
    )
