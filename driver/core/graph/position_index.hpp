// Finding the particle at a position.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
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

  /// Calls visit(particle) for all particles closer than `radius` (Å) to `position`.
  template <class Visit>
  void visit_within(std::array<double, 3> const& position, double radius, Visit visit) const;

 private:
  [[nodiscard]] double cell(double x, int axis) const { return (x - low_[axis]) * inverse_; }

  std::span<double const> coordinates_;
  std::array<double, 3> low_{};
  std::array<int, 3> size_{};  ///< cells along each axis
  double inverse_ = 1.0;       ///< cells per Å
  std::vector<int> starts_;    ///< [cells + 1]
  std::vector<int> particles_;
};

template <class Visit>
void PositionIndex::visit_within(std::array<double, 3> const& position, double radius,
                                 Visit visit) const {
  std::array<int, 3> first{};
  std::array<int, 3> last{};
  for (int axis = 0; axis < 3; ++axis) {
    double const from = std::floor(cell(position[axis] - radius, axis));
    double const to = std::floor(cell(position[axis] + radius, axis));
    first[axis] = static_cast<int>(std::clamp(from, 0.0, size_[axis] - 1.0));
    last[axis] = static_cast<int>(std::clamp(to, 0.0, size_[axis] - 1.0));
  }
  for (int i = first[0]; i <= last[0]; ++i)
    for (int j = first[1]; j <= last[1]; ++j) {
      // Cells along the last axis follow each other.
      auto const row = (static_cast<std::size_t>(i) * size_[1] + j) * size_[2];
      for (int p = starts_[row + first[2]]; p < starts_[row + last[2] + 1]; ++p) {
        double const* const x = coordinates_.data() + 3 * static_cast<std::size_t>(particles_[p]);
        double const dx = x[0] - position[0];
        double const dy = x[1] - position[1];
        double const dz = x[2] - position[2];
        if (dx * dx + dy * dy + dz * dz < radius * radius) visit(particles_[p]);
      }
    }
}

}  // namespace torchml
