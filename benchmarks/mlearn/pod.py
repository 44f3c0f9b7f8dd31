"""POD (N. C. Nguyen and A. Rohskopf, J. Comput. Phys. 480, 112030, 2023), fitted by LAMMPS."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.clock import cpu_minutes

from mlearn.contenders import Contender, of_lammps, program_of
from torchml import TorchMLError
from torchml.validation.lammps import run_lammps

CUTOFF = 5.0  # Å
# Functions of up to five bodies: those of the distance, and the degree of those of the angles.
BODIES = {"three": (8, 6), "four": (6, 4), "five": (4, 3), "six": (0, 0), "seven": (0, 0)}
SETTINGS = """\
species {element}
pbc 1 1 1
rin 1.0
rcut {cutoff}
bessel_polynomial_degree 4
inverse_polynomial_degree 8
onebody 1
twobody_number_radial_basis_functions 8
"""
DATA = """\
file_format extxyz
file_extension xyz
path_to_training_data_set "training"
path_to_test_data_set "training"
fitting_weight_energy 100.0
fitting_weight_force 1.0
fitting_regularization_parameter 1e-10
error_analysis_for_training_data_set 0
error_analysis_for_test_data_set 0
basename_for_output_files fitted
precision_for_pod_coefficients 12
"""


def fit_pod(
    element: str, training_set: Path, folder: Path, python: Path
) -> tuple[Contender, float]:
    """Fit POD to a training set; return it, and the minutes of CPU time of the fit.

    Args:
        element: chemical symbol.
        training_set: extended XYZ with energies and forces.
        folder: for the files of the fit.
        python: of an environment with lammps.
    """
    (folder / "training").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(training_set, folder / "training" / "all.xyz")
    (folder / "settings.pod").write_text(settings(element))
    (folder / "data.pod").write_text(DATA)
    begin = cpu_minutes()
    program = program_of(python)
    run_lammps("units metal\nfitpod settings.pod data.pod\n", folder, program=program, timeout=None)
    minutes = cpu_minutes() - begin
    if not (folder / "fitted_coefficients.pod").is_file():
        raise TorchMLError(f"fitpod left no coefficients in {folder}, expected them")
    commands = [
        "pair_style pod",
        f"pair_coeff * * settings.pod fitted_coefficients.pod {element}",
    ]
    return of_lammps("POD", element, commands, CUTOFF, folder.absolute(), python), minutes


def settings(element: str) -> str:
    """Return the file of settings: the same for all elements."""
    text = SETTINGS.format(element=element, cutoff=CUTOFF)
    for bodies, (radial, angular) in BODIES.items():
        text += f"{bodies}body_number_radial_basis_functions {radial}\n"
        text += f"{bodies}body_angular_degree {angular}\n"
    return text
