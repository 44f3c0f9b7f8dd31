// The proof, from neighbour lists, that images have the features of their owners.
#pragma once

#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/image.hpp"
#include "system.hpp"

namespace torchml {

/// Removes the images, sorted by place, whose lists do not prove them, and makes each its own owner
/// in `owners` [N]. Returns whether any image is left.
///
/// A message-passing model of n layers computes for a particle reached in k hops what depends on
/// the n - k hops around it. Particle and owner get the same result if their neighbours lie at the
/// same vectors and have the same owners: by induction over n - k these then have the same
/// features. For n - k = 1 the same species would suffice now, but not later: while lists are kept
/// only images are followed (TranslationTracker), and a neighbour that is none could move alone.
bool prove_images(System const& system, CachedNeighbors const& neighbors, double tolerance,
                  std::vector<Image>& images, std::span<int> owners);

}  // namespace torchml
