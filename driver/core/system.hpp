// The particles of one evaluation, as a simulator has them.
#pragma once

#include <cstddef>
#include <span>

namespace torchml {

/// Full neighbour lists, one particle at a time.
class NeighborSource {
 public:
  virtual ~NeighborSource() = default;

  /// Indices of the particles near `particle`: unordered, possibly beyond the cutoff.
  /// The span is valid only until the next call, as KIM-API allows its simulators to reuse one
  /// buffer.
  [[nodiscard]] virtual std::span<int const> neighbors(int particle) const = 0;
};

/// A view of N particles, whose arrays belong to the caller.
struct System {
  std::span<int const> species;         ///< [N] codes, positions in ModelSpec::species
  std::span<double const> coordinates;  ///< [3 N] x y z of each particle, Å
  std::span<int const> contributing;    ///< [N] 1 for a contributing particle, 0 for a ghost
  NeighborSource const* neighbors;      ///< lists of every particle the model reaches

  /// [N] the contributing particle of which each is an image, itself where it contributes; empty
  /// where that is not known, as in KIM-API. Where it is known, results of images are given to
  /// their owners, lists are taken to be complete, and the convention `edges` needs only those of
  /// the contributing particles.
  std::span<int const> owners = {};

  [[nodiscard]] std::size_t size() const { return species.size(); }
};

}  // namespace torchml
