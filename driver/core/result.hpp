// What can be asked of an evaluation, and what it answers.
#pragma once

#include <array>
#include <vector>

#include "torchml/common/virial.hpp"

namespace torchml {

/// Nothing that is not asked for is computed: an energy alone needs no backward pass.
struct Request {
  bool energy = true;
  bool particle_energies = false;
  bool forces = true;
  bool virial = false;
  bool particle_virials = false;
  bool edge_terms = false;  ///< only of models whose energy depends on distances alone

  [[nodiscard]] bool gradient() const { return forces || virial || particle_virials || edge_terms; }
};

/// dE/dr of one directed edge; summed over all edges it gives the virial.
struct EdgeTerm {
  int i;                         ///< target particle
  int j;                         ///< source particle
  double r;                      ///< distance, Å
  std::array<double, 3> vector;  ///< x_j - x_i, Å
  double dedr;                   ///< eV/Å
};

/// Only what was requested is meaningful; vectors keep their memory between evaluations.
struct Result {
  double energy = 0.0;                    ///< of the contributing particles, eV
  std::vector<double> particle_energies;  ///< [N], zero for ghosts, eV
  std::vector<double> forces;             ///< [3 N], -dE/dx, ghosts included, eV/Å
  Virial virial{};                        ///< sum of dE/dx (x) x over particles = -sum f (x) x, eV
  std::vector<double> particle_virials;   ///< [6 N], summing to the virial, eV
  std::vector<EdgeTerm> edge_terms;
};

}  // namespace torchml
