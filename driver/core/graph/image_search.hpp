// The search for translations that map particles onto ghosts.
#pragma once

#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/position_index.hpp"
#include "graph/vector.hpp"
#include "system.hpp"

namespace torchml {

/// Links particles that are one translation apart. Translations are guessed from ghosts whose
/// surroundings are those of another particle, and then tried on all ghosts.
class ImageSearch {
 public:
  /// Links every reached ghost, trying the translations in `known` first. False where nothing is
  /// linked, or where images cannot be distinguished from a crystal's own symmetry: contributing
  /// particles with the same surroundings.
  bool link(System const& system, CachedNeighbors const& neighbors, double tolerance,
            std::span<Vector const> known);

  /// The same particle for all particles that are linked with each other.
  [[nodiscard]] int root_of(int particle);

  /// Whether the last search found no translation that was not known before.
  [[nodiscard]] bool same_translations() const { return same_translations_; }

 private:
  struct Nearest {
    double squared;  ///< distance of the nearest neighbour, Å^2
    int place;       ///< in reached()
  };

  void begin(System const& system, CachedNeighbors const& neighbors, double tolerance,
             std::span<Vector const> known);
  void add_steps(Vector const& translation);
  void join(int particle, int other) { parents_[root_of(particle)] = root_of(other); }
  [[nodiscard]] int partner_by_steps(System const& system, int ghost);
  [[nodiscard]] int discover(System const& system, CachedNeighbors const& neighbors, int place);
  void sort_by_nearest(System const& system, CachedNeighbors const& neighbors);
  [[nodiscard]] bool symmetric(System const& system, CachedNeighbors const& neighbors);

  double tolerance_ = 0.0;  ///< Å
  bool same_translations_ = false;
  PositionIndex positions_;
  std::vector<Vector> steps_;       ///< Å, translations that link images, either way
  std::vector<int> recent_;         ///< indices into steps_, the last used first
  std::vector<int> parents_;        ///< [N] a forest of particles linked by steps
  std::vector<Nearest> nearest_;    ///< of the particles with lists, ascending
  std::vector<double> nearest_of_;  ///< by place
};

}  // namespace torchml
