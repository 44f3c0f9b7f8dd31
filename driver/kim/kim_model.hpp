// What belongs to one KIM model object: the potential, its units, and the numbers KIM points to.
#pragma once

#include <optional>
#include <vector>

#include "deviation_settings.hpp"
#include "potential.hpp"
#include "units.hpp"

namespace torchml::kim {

/// Lives as long as the KIM model; not changed after creation, so that many compute-arguments
/// objects can use it at once.
struct Model {
  Potential potential;
  Units units;
  int threads;                ///< of one evaluation
  double influence_distance;  ///< in the simulator's unit of length
  /// Lists of the simulator: one for all particles, or one for those that contribute and one of
  /// shorter reach for ghosts.
  std::vector<double> cutoffs;         ///< in the simulator's unit of length
  std::vector<int> only_contributing;  ///< 1: its lists of ghosts are not read
  std::optional<DeviationSettings> deviations = {};
  bool aborts = false;  ///< an error in a step ends all ranks
};

}  // namespace torchml::kim
