#include "graph/ghost_folding.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace torchml {

GhostFolding::GhostFolding(Folding folding) : folding_(folding) {}

std::span<int const> GhostFolding::owners(System const& system, CachedNeighbors const& neighbors,
                                          bool renewed, double cutoff) {
  if (folding_ == Folding::off) return {};
  bool const known = found_;
  found_ = found_ && images_.holds(system);
  if (!found_ || renewed) find(system, neighbors, cutoff);
  bool const has_moved = moved(system, neighbors);
  if (!found_) {
    sightings_ = 0;
    return {};
  }
  if (known && has_moved) ++sightings_;
  int const enough = folding_ == Folding::several_ranks ? 8 : 1;
  return sightings_ >= enough ? images_.owners() : std::span<int const>{};
}

void GhostFolding::find(System const& system, CachedNeighbors const& neighbors, double cutoff) {
  found_ = false;
  if (patience_ > 0) {
    --patience_;
    return;
  }
  found_ = images_.find(system, neighbors, cutoff);
  if (found_ && !images_.same_translations()) sightings_ = 0;
  // Where there are no images, the search is not repeated in every step.
  failures_ = found_ ? 0 : std::min(failures_ + 1, 6);
  patience_ = found_ ? 0 : (1 << (failures_ - 1)) - 1;
}

/// Whether the contributing particles moved since the last evaluation, in different directions and
/// by no more than a step.
bool GhostFolding::moved(System const& system, CachedNeighbors const& neighbors) {
  auto const contributing = neighbors.reached().first(neighbors.reached_within(0));
  bool const comparable = previous_.size() == 3 * contributing.size();
  previous_.resize(3 * contributing.size());
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::array<double, 3> least{infinity, infinity, infinity};
  std::array<double, 3> most{-infinity, -infinity, -infinity};
  double* before = previous_.data();
  for (int const particle : contributing)
    for (int axis = 0; axis < 3; ++axis, ++before) {
      double const x = system.coordinates[3 * static_cast<std::size_t>(particle) + axis];
      least[axis] = std::min(least[axis], x - *before);
      most[axis] = std::max(most[axis], x - *before);
      *before = x;
    }
  if (!comparable) return false;
  double widest = 0.0;
  double furthest = 0.0;
  for (int axis = 0; axis < 3; ++axis) {
    widest = std::max(widest, most[axis] - least[axis]);
    furthest = std::max({furthest, most[axis], -least[axis]});
  }
  return widest > 1e-9 && furthest < 1.0;  // Å
}

}  // namespace torchml
