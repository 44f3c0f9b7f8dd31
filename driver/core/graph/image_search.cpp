#include "graph/image_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "graph/surroundings.hpp"

namespace torchml {

int ImageSearch::root_of(int particle) {
  while (parents_[particle] != particle) {
    parents_[particle] = parents_[parents_[particle]];
    particle = parents_[particle];
  }
  return particle;
}

void ImageSearch::begin(System const& system, CachedNeighbors const& neighbors, double tolerance,
                        std::span<Vector const> known) {
  tolerance_ = tolerance;
  positions_.build(system.coordinates, neighbors.reached());
  parents_.resize(system.size());
  std::iota(parents_.begin(), parents_.end(), 0);
  nearest_.clear();
  steps_.clear();
  recent_.clear();
  for (auto const& translation : known) add_steps(translation);
  same_translations_ = !known.empty();
}

void ImageSearch::add_steps(Vector const& translation) {
  for (double const sign : {1.0, -1.0}) {
    recent_.insert(recent_.begin(), static_cast<int>(steps_.size()));
    steps_.push_back({sign * translation[0], sign * translation[1], sign * translation[2]});
  }
}

bool ImageSearch::link(System const& system, CachedNeighbors const& neighbors, double tolerance,
                       std::span<Vector const> known) {
  begin(system, neighbors, tolerance, known);
  auto const reached = neighbors.reached();
  bool const all_are_new = steps_.empty();
  for (auto place = neighbors.reached_within(0); place < reached.size(); ++place) {
    int const ghost = reached[place];
    int const partner = partner_by_steps(system, ghost);
    bool const contributes = partner >= 0 && system.contributing[partner] != 0;
    if (place >= neighbors.listed() || (partner >= 0 && (!all_are_new || contributes))) continue;
    if (nearest_.empty()) {
      sort_by_nearest(system, neighbors);
      if (symmetric(system, neighbors)) return false;
    }
    int const original = discover(system, neighbors, static_cast<int>(place));
    if (original < 0 || (partner >= 0 && system.contributing[original] == 0)) continue;
    join(ghost, original);
    add_steps(position(system, ghost) - position(system, original));
    same_translations_ = false;
  }
  return !steps_.empty();
}

/// Links the ghost with particles that are one of the steps away; the last of them, or -1. One
/// contributing partner is enough. Of an atom of another rank all images are linked.
int ImageSearch::partner_by_steps(System const& system, int ghost) {
  auto const x = position(system, ghost);
  int partner = -1;
  for (std::size_t k = 0; k < recent_.size(); ++k) {
    int const particle = positions_.find(x - steps_[recent_[k]], tolerance_);
    if (particle < 0 || particle == ghost || system.species[particle] != system.species[ghost])
      continue;
    partner = particle;
    join(ghost, particle);
    if (system.contributing[particle] == 0) continue;
    auto const last = recent_.begin() + static_cast<std::ptrdiff_t>(k);
    std::rotate(recent_.begin(), last, last + 1);
    break;
  }
  return partner;
}

/// Particles with the same surroundings have nearest neighbours at the same distance.
void ImageSearch::sort_by_nearest(System const& system, CachedNeighbors const& neighbors) {
  nearest_of_.clear();
  for (std::size_t place = 0; place < neighbors.listed(); ++place) {
    int const i = neighbors.reached()[place];
    auto const x = position(system, i);
    double least = std::numeric_limits<double>::infinity();
    for (int const j : neighbors.neighbors(i)) {
      auto const vector = position(system, j) - x;
      least = std::min(least, dot(vector, vector));
    }
    nearest_of_.push_back(least);
    nearest_.push_back({least, static_cast<int>(place)});
  }
  std::ranges::sort(nearest_, [](Nearest const& a, Nearest const& b) {
    return a.squared != b.squared ? a.squared < b.squared : a.place < b.place;
  });
}

/// Two contributing particles have the same surroundings: a crystal, whose own translations look
/// like those of a periodic cell.
bool ImageSearch::symmetric(System const& system, CachedNeighbors const& neighbors) {
  auto const contributing = static_cast<int>(neighbors.reached_within(0));
  auto attempts = 64 * neighbors.reached_within(0);  // where nothing but the distance is the same
  for (std::size_t a = 0; a < nearest_.size(); ++a) {
    if (nearest_[a].place >= contributing || !std::isfinite(nearest_[a].squared)) continue;
    double const limit = nearest_[a].squared + 8.0 * tolerance_ * std::sqrt(nearest_[a].squared);
    for (auto b = a + 1; b < nearest_.size() && nearest_[b].squared <= limit; ++b)
      if (nearest_[b].place < contributing &&
          (attempts-- == 0 ||
           same_surroundings(system, neighbors, tolerance_, neighbors.reached()[nearest_[a].place],
                             neighbors.reached()[nearest_[b].place])))
        return true;
  }
  return false;
}

/// Of the particles with the same surroundings as the ghost at `place`, the one that was reached
/// first, if that was before the ghost; else -1.
int ImageSearch::discover(System const& system, CachedNeighbors const& neighbors, int place) {
  double const squared = nearest_of_[place];
  if (!std::isfinite(squared)) return -1;
  double const width = 8.0 * tolerance_ * std::sqrt(squared);
  int const ghost = neighbors.reached()[place];
  int first = place;
  int attempts = 64;  // in a crystal all nearest neighbours are at the same distance
  for (auto at = std::ranges::lower_bound(nearest_, squared - width, {}, &Nearest::squared);
       at != nearest_.end() && at->squared <= squared + width && attempts > 0; ++at) {
    if (at->place >= first) continue;
    --attempts;
    if (same_surroundings(system, neighbors, tolerance_, ghost, neighbors.reached()[at->place]))
      first = at->place;
  }
  return first < place ? neighbors.reached()[first] : -1;
}

}  // namespace torchml
