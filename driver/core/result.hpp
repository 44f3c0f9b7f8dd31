// What can be requested of an evaluation, and its results.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "torchml/common/virial.hpp"

namespace torchml {

/// Only what is requested is computed: an energy alone needs no backward pass.
struct Request {
  bool energy = true;
  bool particle_energies = false;
  bool forces = true;
  bool virial = false;
  bool particle_virials = false;
  bool edge_terms = false;  ///< only of models whose energy depends on distances alone
  bool members = false;     ///< of each member of a committee: energies, and forces if requested

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

/// What each member of a committee computes.
struct Members {
  int count = 0;
  std::vector<double> energies;           ///< [members], of the contributing particles, eV
  std::vector<double> particle_energies;  ///< [members, N], zero for ghosts, eV
  std::vector<double> forces;             ///< [members, 3 N], ghosts included, eV/Å

  void clear(std::size_t particles, int members, bool with_forces) {
    auto const rows = static_cast<std::size_t>(members);
    count = members;
    energies.assign(rows, 0.0);
    particle_energies.assign(rows * particles, 0.0);
    forces.assign(with_forces ? 3 * rows * particles : 0, 0.0);
  }
};

/// Only what was requested is meaningful; vectors keep their memory between evaluations.
struct Result {
  double energy = 0.0;                    ///< of the contributing particles, eV
  std::vector<double> particle_energies;  ///< [N], zero for ghosts, eV
  std::vector<double> forces;             ///< [3 N], -dE/dx, ghosts included, eV/Å
  Virial kim_virial{};                    ///< sum of dE/dx (x) x = -sum f (x) x, eV: KIM-API's sign
  std::vector<double> kim_particle_virials;  ///< [6 N], summing to kim_virial, eV
  std::vector<EdgeTerm> edge_terms;
  Members members;

  /// Zeros for what is requested of `particles` particles; an evaluation adds to them. `committee`:
  /// the number of members.
  void clear(std::size_t particles, Request const& request, int committee = 0) {
    energy = 0.0;
    kim_virial.fill(0.0);
    edge_terms.clear();
    if (request.particle_energies) particle_energies.assign(particles, 0.0);
    if (request.forces) forces.assign(3 * particles, 0.0);
    if (request.particle_virials) kim_particle_virials.assign(6 * particles, 0.0);
    if (request.members) members.clear(particles, committee, request.forces);
  }
};

}  // namespace torchml
