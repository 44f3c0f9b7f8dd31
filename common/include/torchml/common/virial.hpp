// Symmetric tensors of the virial kind.
#pragma once

#include <array>

namespace torchml {

/// Components of a symmetric tensor in KIM-API's order: xx yy zz yz xz xy.
using Virial = std::array<double, 6>;

/// The symmetric part of a (x) b, two vectors of three components.
inline Virial symmetric_product(double const* a, double const* b) {
  return {a[0] * b[0],
          a[1] * b[1],
          a[2] * b[2],
          0.5 * (a[1] * b[2] + a[2] * b[1]),
          0.5 * (a[0] * b[2] + a[2] * b[0]),
          0.5 * (a[0] * b[1] + a[1] * b[0])};
}

}  // namespace torchml
