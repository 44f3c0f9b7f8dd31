// The simulator's units of length and energy against the engine's, Å and eV.
#pragma once

#include "KIM_ModelDriverHeaders.hpp"

namespace torchml::kim {

/// Factors from the engine's units to the simulator's: multiply to convert outwards, divide to
/// convert inwards.
struct Units {
  KIM::LengthUnit length_unit = KIM::LENGTH_UNIT::A;
  KIM::EnergyUnit energy_unit = KIM::ENERGY_UNIT::eV;
  double length = 1.0;  ///< simulator lengths per Å
  double energy = 1.0;  ///< simulator energies per eV

  [[nodiscard]] double force() const { return energy / length; }
};

/// Takes any of KIM-API's units; an unused one is Å or eV. Factors are those of KIM-API, so that
/// models of different drivers agree to the last digit, unless they contradict CODATA 2018
/// (KIM-API 2.3 has the erg wrong). Throws torchml::Error for a unit that is not in KIM-API 2.
Units accept_units(KIM::LengthUnit length, KIM::EnergyUnit energy);

}  // namespace torchml::kim
