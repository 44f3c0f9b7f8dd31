// Which ghosts are images of other particles under the translations of a periodic system, found and
// proved from coordinates and neighbour lists alone.
#pragma once

#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/image.hpp"
#include "graph/image_search.hpp"
#include "graph/translation_tracker.hpp"
#include "system.hpp"

namespace torchml {

/// Gives particles that are images of each other one owner, so that their features are computed
/// once. An owner is a contributing particle or, of images that belong to another rank, the one
/// that is reached in the fewest hops. A particle that fails the proof (prove_images) is computed
/// as itself.
class ImageMap {
 public:
  /// Finds the images among the particles that `neighbors` reached. `cutoff` in Å: translations
  /// are longer. False, and no images, where there are none or where they cannot be distinguished
  /// from a crystal's own symmetry.
  bool find(System const& system, CachedNeighbors const& neighbors, double cutoff);

  /// Whether all images are still where their owners' translations put them, which may have changed
  /// with a deforming cell. As long as the lists stay, this replaces a new proof.
  [[nodiscard]] bool holds(System const& system);

  /// [N] the owner of each particle: itself for a particle that is no image.
  [[nodiscard]] std::span<int const> owners() const { return owners_; }

  /// Whether the last `find` knew all translations from the one before.
  [[nodiscard]] bool same_translations() const { return search_.same_translations(); }

 private:
  bool find_images(System const& system, CachedNeighbors const& neighbors, double cutoff);

  /// Fills images_ and owners_ from linked particles, and `translations` (Å) from owners to images.
  /// False where two contributing particles are linked, or a translation is too short.
  bool choose_owners(System const& system, CachedNeighbors const& neighbors, double tolerance,
                     double cutoff, std::vector<Vector>& translations);

  ImageSearch search_;
  TranslationTracker tracker_;
  std::vector<int> owners_;
  std::vector<Image> images_;  ///< particles that are not their own owners
};

}  // namespace torchml
