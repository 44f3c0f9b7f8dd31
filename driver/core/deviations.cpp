#include "deviations.hpp"

#include <cmath>
#include <cstddef>

#include "graph/dependents.hpp"

namespace torchml {
namespace {

/// The energies of the contributing particles alone, of each member.
std::vector<double> own_energies(Members const& members, System const& system) {
  std::vector<double> energies;
  for (std::size_t k = 0; k < static_cast<std::size_t>(members.count); ++k) {
    double sum = 0.0;
    for (std::size_t i = 0; i < system.size(); ++i)
      if (system.contributing[i] != 0) sum += members.particle_energies[k * system.size() + i];
    energies.push_back(sum);
  }
  return energies;
}

}  // namespace

std::vector<double> force_deviations(Members const& members, System const& system) {
  auto const particles = system.size();
  auto const count = static_cast<std::size_t>(members.count);
  std::vector<double> deviations(particles, 0.0);
  for (std::size_t i = 0; i < particles; ++i) {
    if (system.contributing[i] == 0) continue;
    double squares = 0.0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      auto const force = [&](std::size_t k) {
        return members.forces[3 * (k * particles + i) + axis];
      };
      double mean = 0.0;
      for (std::size_t k = 0; k < count; ++k) mean += force(k) / static_cast<double>(count);
      for (std::size_t k = 0; k < count; ++k) squares += (force(k) - mean) * (force(k) - mean);
    }
    deviations[i] = std::sqrt(squares / static_cast<double>(count - 1));
  }
  return deviations;
}

Deviations DeviationEvaluator::evaluate(System const& system) {
  auto const contributing = with_dependents(system, potential_.spec().cutoffs());
  System extended = system;
  extended.contributing = contributing;
  evaluator_.evaluate(extended, {.energy = false, .forces = true, .members = true}, result_);
  return {own_energies(result_.members, system), force_deviations(result_.members, system)};
}

}  // namespace torchml
