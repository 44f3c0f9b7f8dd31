#include "deviations.hpp"

#include <cmath>
#include <cstddef>

namespace torchml {

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

}  // namespace torchml
