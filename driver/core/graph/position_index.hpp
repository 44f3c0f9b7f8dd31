// Finding the particle at a position.
#pragma once

#include <array>
#include <span>
#include <vector>

namespace torchml {

/// Particles by their positions, in the cells of a grid.
class PositionIndex {
 public:
  /// Sorts the given particles into cells; `coordinates` are [3 N] x y z of all particles, Å, and
  /// have to stay where they are.
  void build(std::span<double const> coordinates, std::span<int const> particles);

  /// A particle whose coordinates all differ by at most `tolerance` from `position`, or -1.
  [[nodiscard]] int find(std::array<double, 3> const& position, double tolerance) const;

 private:
  [[nodiscard]] double cell(double x, int axis) const { return (x - low_[axis]) * inverse_; }

  std::span<double const> coordinates_;
  std::array<double, 3> low_{};
  std::array<int, 3> size_{};  ///< cells along each axis
  double inverse_ = 1.0;       ///< cells per Å
  std::vector<int> starts_;    ///< [cells + 1]
  std::vector<int> particles_;
};

}  // namespace torchml
