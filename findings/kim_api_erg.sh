#!/usr/bin/env bash
# KIM-API takes the erg for 1e7 J, so models asked for ergs compute energies 1e14 times too small.
#
# Version:  KIM-API 2.3.0 (Debian 12, libkim-api2 and libkim-api-dev 2.3.0-1+b1)
# Input:    KIM::ModelDriverCreate::ConvertUnit from eV to each unit of energy, with the other units kept.
# Seen:     factor, and its ratio to that of CODATA 2018; others differ by their older constants only:
#               J                1.602176460e-19   0.99999989
#               erg              1.602176460e-26   9.9999989e-15
#               amu_A2_per_ps2   9.648533368e+03   1
#               Hartree          3.674932476e-02   1.0000001
#               kcal_mol         2.306053025e+01   0.99999924
#           One erg is 1e-7 J; here it is 1e7 J. The source of KIM-API 2.4.2 has the same number.
# Effect:   a driver that converts with KIM-API's own function has energies and forces that are practically
#           zero in a simulator that asks for ergs (LAMMPS: `units cgs`), without an error.
#
# Ends with 0 if KIM-API still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq libkim-api2=2.3.0-1+b1 libkim-api-dev=2.3.0-1+b1
for package in ./*.deb; do dpkg-deb --extract "$package" root; done
cat >show.cpp <<'CPP'
#include <cmath>
#include <cstdio>
#include <cstring>

#include "KIM_ModelDriverHeaders.hpp"

int main() {
  using namespace KIM;
  struct {
    EnergyUnit unit;
    char const* name;
    double of_eV;
  } const units[] = {{ENERGY_UNIT::J, "J", 1.602176634e-19},
                     {ENERGY_UNIT::erg, "erg", 1.602176634e-12},
                     {ENERGY_UNIT::amu_A2_per_ps2, "amu_A2_per_ps2", 9648.53321233},
                     {ENERGY_UNIT::Hartree, "Hartree", 0.0367493221757},
                     {ENERGY_UNIT::kcal_mol, "kcal_mol", 23.0605478306}};
  bool as_described = true;
  for (auto const& [unit, name, of_eV] : units) {
    double factor = 0.0;
    if (ModelDriverCreate::ConvertUnit(LENGTH_UNIT::A, ENERGY_UNIT::eV, CHARGE_UNIT::e, TEMPERATURE_UNIT::K,
                                       TIME_UNIT::ps, LENGTH_UNIT::A, unit, CHARGE_UNIT::e,
                                       TEMPERATURE_UNIT::K, TIME_UNIT::ps, 0, 1, 0, 0, 0, &factor))
      return 1;
    std::printf("%-15s  %.9e   %.8g\n", name, factor, factor / of_eV);
    double const expected = std::strcmp(name, "erg") == 0 ? 1e-14 : 1.0;
    as_described = as_described && std::abs(factor / of_eV / expected - 1.0) < 1e-6;
  }
  return as_described ? 0 : 1;
}
CPP
library=$(find root -name 'libkim-api.so.2*' | head -1)
g++ -std=c++17 -I"$(dirname "$(find root -name KIM_ModelDriverHeaders.hpp | head -1)")" show.cpp "$library" -o show
LD_LIBRARY_PATH="$(dirname "$library")" ./show
