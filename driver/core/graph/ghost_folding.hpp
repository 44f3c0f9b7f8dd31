// Ghosts that are images of other particles are not computed a second time.
#pragma once

#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/image_map.hpp"
#include "system.hpp"

namespace torchml {

/// Which particles may be taken for images.
enum class Folding {
  off,           ///< none
  one_rank,      ///< all particles of the simulation are on this rank
  several_ranks  ///< atoms of other ranks are among the ghosts
};

/// Follows one stream of evaluations and finds which particles share an owner.
///
/// Geometry alone cannot distinguish an image from another atom in the same surroundings, which has
/// forces of its own: a copy of a crystal's cell beside it looks like a periodic image. Motion can.
/// Images are folded only after they have moved together with their owners while the atoms moved in
/// different directions. Where other ranks could hold copies, which move alike until a difference
/// between their surroundings reaches them, that takes several such steps.
class GhostFolding {
 public:
  explicit GhostFolding(Folding folding);

  /// [N] the owner of each particle, or empty where every particle must be computed. `renewed`:
  /// the lists in `neighbors` were read again. Cutoff in Å.
  std::span<int const> owners(System const& system, CachedNeighbors const& neighbors, bool renewed,
                              double cutoff);

 private:
  void find(System const& system, CachedNeighbors const& neighbors, double cutoff);
  [[nodiscard]] bool moved(System const& system, CachedNeighbors const& neighbors);

  Folding folding_;
  ImageMap images_;
  bool found_ = false;
  int sightings_ = 0;             ///< evaluations in which the images had moved with their owners
  int patience_ = 0;              ///< evaluations until the next search
  int failures_ = 0;              ///< searches in a row that found nothing
  std::vector<double> previous_;  ///< coordinates of the contributing particles, Å
};

}  // namespace torchml
