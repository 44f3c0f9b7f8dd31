// Which ghosts are images of other particles under the translations of a periodic system, found and
// proved from coordinates and neighbour lists alone.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/position_index.hpp"
#include "system.hpp"

namespace torchml {

/// Gives particles that are images of each other one owner, so that their features are computed
/// once. An owner is a contributing particle or, of images that belong to another rank, the one
/// that is reached in the fewest hops.
///
/// A message-passing model of n layers computes for a particle reached in k hops what depends on
/// the n - k hops around it. Particle and owner get the same result if their neighbours lie at the
/// same vectors and, where n - k >= 2, have the same owners: by induction over n - k these then
/// have the same features, and for n - k = 1 the same species suffice. That is what `find` checks,
/// list by list; who fails is nobody's image. As long as lists and translations stay, comparing
/// positions is enough (`holds`).
class ImageMap {
 public:
  /// Finds the images among the particles that `neighbors` reached. `cutoff` in Å: translations
  /// are longer. False, and no images, where there are none or where they cannot be told from a
  /// crystal's own symmetry: contributing particles with the same surroundings.
  bool find(System const& system, CachedNeighbors const& neighbors, double cutoff);

  /// Whether all images are still where their owners' translations put them, which may have changed
  /// with a deforming cell.
  [[nodiscard]] bool holds(System const& system);

  /// [N] the owner of each particle, itself for who is no image.
  [[nodiscard]] std::span<int const> owners() const { return owners_; }

  /// Whether the last `find` knew all translations from the one before.
  [[nodiscard]] bool same_translations() const { return same_translations_; }

 private:
  using Vector = std::array<double, 3>;

  /// A particle that is not its own owner.
  struct Image {
    int particle;
    int owner;
    int translation;    ///< of the owner to the image, in translations_
    std::size_t place;  ///< in reached() when it was found
  };

  void set_tolerance(System const& system);
  bool link(System const& system, CachedNeighbors const& neighbors);
  bool choose_owners(System const& system, CachedNeighbors const& neighbors, double cutoff);
  bool prove(System const& system, CachedNeighbors const& neighbors);
  bool express_translations();

  [[nodiscard]] int discover(System const& system, CachedNeighbors const& neighbors, int ghost);
  void sort_by_nearest(System const& system, CachedNeighbors const& neighbors);
  [[nodiscard]] bool symmetric(System const& system, CachedNeighbors const& neighbors);
  [[nodiscard]] bool same_surroundings(System const& system, CachedNeighbors const& neighbors,
                                       int one, int other, bool by_owner) const;
  [[nodiscard]] bool near(Vector const& a, Vector const& b) const;

  double tolerance_ = 0.0;  ///< Å, the rounding of coordinates
  bool same_translations_ = false;
  std::vector<int> owners_;
  std::vector<Image> images_;
  std::vector<Vector> translations_;  ///< Å, of owners to images, as they are now
  std::vector<int> basis_;            ///< up to three independent ones among translations_
  std::vector<Vector> factors_;       ///< each of translations_ as a sum of the basic ones

  // Scratch of find.
  PositionIndex positions_;
  std::vector<Vector> steps_;  ///< Å, translations that link images, either way
  std::vector<int> parents_;   ///< [N] a forest of particles linked by steps
  std::vector<int> recent_;    ///< steps_, the last used first
  struct Nearest {
    double squared;  ///< distance of the nearest neighbour, Å^2
    int place;       ///< in reached()
  };
  std::vector<Nearest> nearest_;    ///< of the particles with lists, ascending
  std::vector<double> nearest_of_;  ///< by place
};

}  // namespace torchml
