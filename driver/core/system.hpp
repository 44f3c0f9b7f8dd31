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

  [[nodiscard]] std::size_t size() const { return species.size(); }
};

}  // namespace torchml
