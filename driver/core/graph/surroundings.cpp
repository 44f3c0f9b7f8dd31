#include "graph/surroundings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "graph/vector.hpp"

namespace torchml {

double coordinate_tolerance(System const& system) {
  double largest = 1.0;
  for (double const x : system.coordinates) largest = std::max(largest, std::abs(x));
  // Simulators add a vector to coordinates and convert units: a few roundings. Never so much that
  // an energy could show it: farther from the origin nothing is found.
  return std::min(32.0 * std::numeric_limits<double>::epsilon() * largest, 1e-11);
}

bool same_surroundings(System const& system, CachedNeighbors const& neighbors, double tolerance,
                       int particle, int other, std::span<int const> owners) {
  // As far as the particle that is reached later has to look.
  int const hops = std::max(neighbors.hops_to(particle), neighbors.hops_to(other));
  auto const list = neighbors.neighbors_within(particle, hops);
  auto const others = neighbors.neighbors_within(other, hops);
  if (system.species[particle] != system.species[other] || list.size() != others.size())
    return false;
  auto const shift = position(system, particle) - position(system, other);
  constexpr std::size_t most = 512;  // a list longer than that proves nothing
  if (others.size() > most) return false;
  std::array<std::uint8_t, most> taken;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::fill_n(taken.begin(), others.size(), std::uint8_t{0});
  std::size_t start = 0;  // the lists of simulators tend to have the same order
  for (int const s : list) {
    auto const expected = position(system, s) - shift;
    std::size_t k = 0;
    for (; k < others.size(); ++k) {
      auto const place = start + k < others.size() ? start + k : start + k - others.size();
      int const t = others[place];
      if (taken[place] != 0 || !near(position(system, t), expected, tolerance)) continue;
      if (owners.empty() ? system.species[t] != system.species[s] : owners[t] != owners[s])
        return false;
      taken[place] = 1;
      start = place + 1 < others.size() ? place + 1 : 0;
      break;
    }
    if (k == others.size()) return false;
  }
  return true;
}

}  // namespace torchml
