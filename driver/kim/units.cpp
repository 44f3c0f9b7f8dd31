#include "units.hpp"

#include <cmath>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

// CODATA 2018: https://physics.nist.gov/cuu/Constants
constexpr double elementary_charge = 1.602176634e-19;  // C
constexpr double avogadro = 6.02214076e23;             // 1/mol
constexpr double atomic_mass = 1.66053906660e-27;      // kg
constexpr double bohr = 0.529177210903;                // Å
constexpr double hartree = 27.211386245988;            // eV

double length_in_angstrom(KIM::LengthUnit unit) {
  namespace length = KIM::LENGTH_UNIT;
  if (unit == length::A) return 1.0;
  if (unit == length::Bohr) return bohr;
  if (unit == length::cm) return 1e8;
  if (unit == length::m) return 1e10;
  if (unit == length::nm) return 10.0;
  throw Error("the length unit " + unit.ToString() + " is unknown, expected one of KIM-API 2");
}

double energy_in_ev(KIM::EnergyUnit unit) {
  namespace energy = KIM::ENERGY_UNIT;
  if (unit == energy::eV) return 1.0;
  if (unit == energy::amu_A2_per_ps2) return atomic_mass * 1e4 / elementary_charge;
  if (unit == energy::erg) return 1e-7 / elementary_charge;
  if (unit == energy::Hartree) return hartree;
  if (unit == energy::J) return 1.0 / elementary_charge;
  if (unit == energy::kcal_mol) return 4184.0 / avogadro / elementary_charge;
  throw Error("the energy unit " + unit.ToString() + " is unknown, expected one of KIM-API 2");
}

/// KIM-API's factor from Å, eV to the given units, or `expected` if KIM-API's is wrong.
double agreed_factor(KIM::LengthUnit length, KIM::EnergyUnit energy, double length_exponent,
                     double energy_exponent, double expected) {
  double factor = 0.0;
  bool const failed =
      KIM::ModelDriverCreate::ConvertUnit(
          KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K,
          KIM::TIME_UNIT::ps, length, energy, KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K,
          KIM::TIME_UNIT::ps, length_exponent, energy_exponent, 0.0, 0.0, 0.0, &factor) != 0;
  // Revisions of CODATA differ by less.
  bool const right = !failed && std::abs(factor / expected - 1.0) < 1e-6;
  return right ? factor : expected;
}

}  // namespace

Units accept_units(KIM::LengthUnit length, KIM::EnergyUnit energy) {
  Units units;
  if (!(length == KIM::LENGTH_UNIT::unused)) units.length_unit = length;
  if (!(energy == KIM::ENERGY_UNIT::unused)) units.energy_unit = energy;
  units.length = agreed_factor(units.length_unit, KIM::ENERGY_UNIT::eV, 1.0, 0.0,
                               1.0 / length_in_angstrom(units.length_unit));
  units.energy = agreed_factor(KIM::LENGTH_UNIT::A, units.energy_unit, 0.0, 1.0,
                               1.0 / energy_in_ev(units.energy_unit));
  return units;
}

}  // namespace torchml::kim
