// Sparing a model the ghosts that are images of other particles.
#pragma once

#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/image_map.hpp"
#include "system.hpp"

namespace torchml {

/// Who may be taken for an image (TORCHML_FOLDING=off: nobody).
enum class Folding {
  off,
  one_rank,      ///< all particles of the simulation are here
  several_ranks  ///< other ranks' atoms are among the ghosts
};

/// What the environment says: the variable TORCHML_FOLDING and the launcher of MPI.
Folding folding_from_environment();

/// Follows one stream of evaluations and tells which particles share an owner.
///
/// Geometry alone cannot tell an image from another atom in the same surroundings, whose forces are
/// its own: a copy of a crystal's cell beside it looks just like a periodic image. Motion can.
/// Images are folded only after they were seen to move together with their owners while the atoms
/// moved in different directions; where other ranks could hold copies, which move alike until what
/// is different about them is felt, after several such steps.
class GhostFolding {
 public:
  explicit GhostFolding(Folding folding);

  /// [N] the owner of each particle, or empty where every particle is to be computed. `renewed`:
  /// the lists in `neighbors` were made anew. Cutoff in Å.
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
