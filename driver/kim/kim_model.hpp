// What belongs to one KIM model object: the potential, its units, and the numbers KIM points to.
#pragma once

#include "potential.hpp"
#include "units.hpp"

namespace torchml::kim {

/// Lives as long as the KIM model; not changed after creation, so that many compute-arguments
/// objects can use it at once.
struct Model {
  Potential potential;
  Units units;
  int threads;                ///< of one evaluation
  double cutoff;              ///< in the simulator's unit of length
  double influence_distance;  ///< in the simulator's unit of length
  int only_contributing;      ///< 1: lists of ghosts are not read
};

}  // namespace torchml::kim
