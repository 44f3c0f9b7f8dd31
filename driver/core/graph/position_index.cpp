#include "graph/position_index.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace torchml {

void PositionIndex::build(std::span<double const> coordinates, std::span<int const> particles) {
  coordinates_ = coordinates;
  low_ = {};
  std::array<double, 3> high{};
  for (int axis = 0; axis < 3 && !particles.empty(); ++axis) {
    auto const value = [&](int particle) {
      return coordinates[3 * static_cast<std::size_t>(particle) + axis];
    };
    auto const [least, most] = std::ranges::minmax(particles, {}, value);
    low_[axis] = value(least);
    high[axis] = value(most);
  }
  // About one particle in a cell, as far as they fill the box around them.
  double const count = static_cast<double>(particles.size()) + 1.0;
  double length = 1.0;
  auto const cells = [&] {
    double product = 1.0;
    for (int axis = 0; axis < 3; ++axis) product *= (high[axis] - low_[axis]) / length + 1.0;
    return product;
  };
  while (cells() > 2.0 * count) length *= 1.5;
  inverse_ = 1.0 / length;
  for (int axis = 0; axis < 3; ++axis) size_[axis] = static_cast<int>(cell(high[axis], axis)) + 1;

  auto const cell_of = [&](int particle) {
    std::size_t index = 0;
    for (int axis = 0; axis < 3; ++axis) {
      double const x = coordinates[3 * static_cast<std::size_t>(particle) + axis];
      auto const c = std::min(static_cast<int>(cell(x, axis)), size_[axis] - 1);
      index = index * static_cast<std::size_t>(size_[axis]) + static_cast<std::size_t>(c);
    }
    return index;
  };
  auto const number = static_cast<std::size_t>(size_[0]) * size_[1] * size_[2];
  starts_.assign(number + 1, 0);
  for (int const particle : particles) ++starts_[cell_of(particle) + 1];
  for (std::size_t c = 0; c < number; ++c) starts_[c + 1] += starts_[c];
  particles_.resize(particles.size());
  // Filled from behind, which leaves in each start the place of its first.
  for (std::size_t k = particles.size(); k-- > 0;)
    particles_[--starts_[cell_of(particles[k]) + 1]] = particles[k];
  std::rotate(starts_.begin(), starts_.begin() + 1, starts_.end());
  starts_.back() = static_cast<int>(particles.size());
}

int PositionIndex::find(std::array<double, 3> const& position, double tolerance) const {
  std::array<int, 3> first{};
  std::array<int, 3> last{};
  for (int axis = 0; axis < 3; ++axis) {
    double const from = std::floor(cell(position[axis] - tolerance, axis));
    double const to = std::floor(cell(position[axis] + tolerance, axis));
    if (!(to >= 0.0 && from < size_[axis])) return -1;
    first[axis] = std::max(0, static_cast<int>(from));
    last[axis] = std::min(size_[axis] - 1, static_cast<int>(to));
  }
  for (int i = first[0]; i <= last[0]; ++i)
    for (int j = first[1]; j <= last[1]; ++j)
      for (int k = first[2]; k <= last[2]; ++k) {
        auto const c = (static_cast<std::size_t>(i) * size_[1] + j) * size_[2] + k;
        for (int p = starts_[c]; p < starts_[c + 1]; ++p) {
          double const* const x = coordinates_.data() + 3 * static_cast<std::size_t>(particles_[p]);
          if (std::abs(x[0] - position[0]) <= tolerance &&
              std::abs(x[1] - position[1]) <= tolerance &&
              std::abs(x[2] - position[2]) <= tolerance)
            return particles_[p];
        }
      }
  return -1;
}

}  // namespace torchml
