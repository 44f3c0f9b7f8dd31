#include <gtest/gtest.h>

#include "units.hpp"

namespace torchml::kim {
namespace {

// CODATA 2018, in Å and eV.
struct Length {
  KIM::LengthUnit unit;
  double angstrom;
};
struct Energy {
  KIM::EnergyUnit unit;
  double ev;
};

TEST(Units, AllThirtySetsAreConverted) {
  Length const lengths[] = {{KIM::LENGTH_UNIT::A, 1.0},
                            {KIM::LENGTH_UNIT::Bohr, 0.529177210903},
                            {KIM::LENGTH_UNIT::cm, 1e8},
                            {KIM::LENGTH_UNIT::m, 1e10},
                            {KIM::LENGTH_UNIT::nm, 10.0}};
  Energy const energies[] = {
      {KIM::ENERGY_UNIT::eV, 1.0},
      {KIM::ENERGY_UNIT::amu_A2_per_ps2, 1.03642696562e-4},
      {KIM::ENERGY_UNIT::erg, 6.241509074461e11},  // KIM-API 2.3: 1e14 too small
      {KIM::ENERGY_UNIT::Hartree, 27.211386245988},
      {KIM::ENERGY_UNIT::J, 6.241509074461e18},
      {KIM::ENERGY_UNIT::kcal_mol, 0.0433641043}};
  for (auto const& length : lengths)
    for (auto const& energy : energies) {
      auto const units = accept_units(length.unit, energy.unit);
      EXPECT_NEAR(units.length * length.angstrom, 1.0, 1e-6) << length.unit.ToString();
      EXPECT_NEAR(units.energy * energy.ev, 1.0, 1e-6) << energy.unit.ToString();
      EXPECT_DOUBLE_EQ(units.force(), units.energy / units.length);
    }
}

TEST(Units, OurOwnAreExactAndTheDefault) {
  auto const metal = accept_units(KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV);
  EXPECT_EQ(metal.length, 1.0);
  EXPECT_EQ(metal.energy, 1.0);
  auto const unasked = accept_units(KIM::LENGTH_UNIT::unused, KIM::ENERGY_UNIT::unused);
  EXPECT_EQ(unasked.length_unit, KIM::LENGTH_UNIT::A);
  EXPECT_EQ(unasked.energy_unit, KIM::ENERGY_UNIT::eV);
}

}  // namespace
}  // namespace torchml::kim
