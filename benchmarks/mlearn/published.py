"""Published numbers for the data of Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020)."""

from __future__ import annotations

# Mean absolute errors on the test sets, meV/atom and eV/Å. SNAP and qSNAP: the potentials of the
# authors (doi:10.1021/acs.jpca.9b08723), run with LAMMPS. MTP and GAP: as published, to two digits.
ERRORS: dict[str, dict[str, tuple[float, float]]] = {
    "Si": {
        "SNAP": (6.44, 0.133),
        "qSNAP": (3.81, 0.116),
        "MTP": (2.21, 0.06),
        "GAP": (2.91, 0.07),
    },
    "Ge": {
        "SNAP": (6.59, 0.188),
        "qSNAP": (6.45, 0.133),
        "MTP": (1.79, 0.05),
        "GAP": (2.06, 0.05),
    },
    "Li": {
        "SNAP": (1.03, 0.028),
        "qSNAP": (0.73, 0.033),
        "MTP": (0.49, 0.01),
        "GAP": (0.49, 0.01),
    },
    "Mo": {
        "SNAP": (5.48, 0.207),
        "qSNAP": (2.77, 0.184),
        "MTP": (2.83, 0.09),
        "GAP": (2.24, 0.09),
    },
    "Ni": {"MTP": (0.48, 0.01), "GAP": (0.42, 0.02)},
    "Cu": {"MTP": (0.41, 0.01), "GAP": (0.46, 0.01)},
}

# DFT (PBE): lattice constant, Å; C11, C12, C44, GPa; vacancy formation energy, eV. The virials of
# the strained crystals in the data give 154 and 57 GPa for C11 and C12 of Si, 108 and 41 of Ge,
# and 477, 161 and 107 for the three of Mo.
DFT: dict[str, tuple[float, float, float, float, float]] = {
    "Ni": (3.508, 276, 159, 132, 1.49),
    "Cu": (3.621, 173, 133, 88, 1.15),
    "Li": (3.427, 15, 13, 11, 0.62),
    "Mo": (3.168, 472, 158, 106, 2.70),
    "Si": (5.469, 156, 65, 76, 3.25),
    "Ge": (5.763, 116, 48, 58, 2.19),
}
