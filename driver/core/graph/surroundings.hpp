// Comparing the neighbours of two particles.
#pragma once

#include <span>

#include "graph/cached_neighbors.hpp"
#include "system.hpp"

namespace torchml {

/// The rounding of coordinates (Å): images of a particle are translated by the same vector up to
/// this.
double coordinate_tolerance(System const& system);

/// Whether particle and other have neighbours at the same vectors, up to `tolerance` (Å), that are
/// of the same species or, where `owners` [N] is not empty, have the same owners.
bool same_surroundings(System const& system, CachedNeighbors const& neighbors, double tolerance,
                       int particle, int other, std::span<int const> owners = {});

}  // namespace torchml
