#include "graph/image_map.hpp"

#include <algorithm>
#include <numeric>

#include "graph/image_proof.hpp"
#include "graph/surroundings.hpp"

namespace torchml {

bool ImageMap::find(System const& system, CachedNeighbors const& neighbors, double cutoff) {
  owners_.resize(system.size());
  std::iota(owners_.begin(), owners_.end(), 0);
  images_.clear();
  // Without lists of ghosts there is nothing to prove, and little to gain.
  bool const has_ghosts =
      neighbors.layers() > 1 && neighbors.reached_within(0) < neighbors.reached().size();
  if (has_ghosts && find_images(system, neighbors, cutoff)) return true;
  std::iota(owners_.begin(), owners_.end(), 0);
  images_.clear();
  tracker_.clear();
  return false;
}

bool ImageMap::find_images(System const& system, CachedNeighbors const& neighbors, double cutoff) {
  double const tolerance = coordinate_tolerance(system);
  std::vector<Vector> translations;
  return search_.link(system, neighbors, tolerance, tracker_.translations()) &&
         choose_owners(system, neighbors, tolerance, cutoff, translations) &&
         prove_images(system, neighbors, tolerance, images_, owners_) &&
         tracker_.start(std::move(translations), tolerance);
}

/// The first of the linked particles owns them all.
bool ImageMap::choose_owners(System const& system, CachedNeighbors const& neighbors,
                             double tolerance, double cutoff, std::vector<Vector>& translations) {
  std::vector<int> first(system.size(), -1);
  std::vector<int> recent;
  auto const reached = neighbors.reached();
  for (std::size_t place = 0; place < reached.size(); ++place) {
    int const particle = reached[place];
    int& owner = first[search_.root_of(particle)];
    if (owner < 0) {
      owner = particle;
      continue;
    }
    if (system.contributing[particle] != 0) return false;  // two atoms are no images of each other
    auto const translation = position(system, particle) - position(system, owner);
    auto known = std::ranges::find_if(
        recent, [&](int k) { return near(translations[k], translation, tolerance); });
    if (known == recent.end()) {
      if (dot(translation, translation) < cutoff * cutoff) return false;
      known = recent.insert(known, static_cast<int>(translations.size()));
      translations.push_back(translation);
    }
    std::rotate(recent.begin(), known, known + 1);
    images_.push_back({particle, owner, recent.front(), place});
    owners_[particle] = owner;
  }
  return !images_.empty();
}

bool ImageMap::holds(System const& system) {
  return !images_.empty() && system.size() == owners_.size() && tracker_.holds(system, images_);
}

}  // namespace torchml
