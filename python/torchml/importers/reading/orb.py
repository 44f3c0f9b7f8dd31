"""Models of orb (https://github.com/orbital-materials/orb-models), which cannot be imported.

Their energy is the number of atoms times a function of the mean of the features of all atoms
(`EnergyHead`, orb-models 0.4 to 0.7). So it is no sum of energies of atoms that depend on their
surroundings. Measured with orb-models 0.5.5, random weights, two message-passing steps and a cutoff
of 6 Å: the largest force in a water molecule changes from 0.0192 to 0.0139 eV/Å when a molecule of
methanol is added 25 Å away.
"""

from __future__ import annotations

from .source import ReadingError, Source, Wish

MODULE = "orb_models"
INSTALL = ("torch==2.13.0", "orb-models==0.5.5")
READS = "refused: its energy depends on the mean over all atoms"
WAY = "refused"


def open_model(wish: Wish) -> Source:
    """Refuse a model of orb.

    Raises:
        ReadingError: always, with the reason.
    """
    raise ReadingError(
        f"{wish.model} cannot be imported: the energy of a model of orb is a function of the mean "
        "over all atoms of a system, so atoms change each other's forces at any distance (in water "
        "from 0.019 to 0.014 eV/Å by methanol 25 Å away, far beyond the cutoff of 6 Å), expected "
        "an energy that is a sum over the atoms"
    )
