// Positions as vectors of three components.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "system.hpp"

namespace torchml {

using Vector = std::array<double, 3>;  ///< Å

inline Vector position(System const& system, int particle) {
  double const* const x = system.coordinates.data() + 3 * static_cast<std::size_t>(particle);
  return {x[0], x[1], x[2]};
}

inline Vector operator-(Vector const& a, Vector const& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

inline double dot(Vector const& a, Vector const& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/// Whether all components differ by at most `tolerance`.
inline bool near(Vector const& a, Vector const& b, double tolerance) {
  return std::abs(a[0] - b[0]) <= tolerance && std::abs(a[1] - b[1]) <= tolerance &&
         std::abs(a[2] - b[2]) <= tolerance;
}

}  // namespace torchml
