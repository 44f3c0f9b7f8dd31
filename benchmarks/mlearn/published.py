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
