// Radial functions as piecewise polynomials: costly to calculate once, cheap ever after.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <vector>

#include "torchml/descriptor/environment.hpp"

namespace torchml::descriptor {

/// What kernels see of a table (see simd/radial.hpp). With u = r * per_length, piece k = floor(u)
/// is a polynomial in t = 2 (u - k) - 1, the same for all functions: the coefficient of
/// t^(terms-1-c) of function f is coefficients[(k * terms + c) * stride + f], aligned to 64 bytes.
struct RadialPieces {
  static constexpr std::size_t terms = 12;

  double const* coefficients;
  std::size_t stride;  ///< number of functions, rounded up to `padding` with zeros
  double pieces;       ///< how many, a whole number
  double per_length;   ///< 1/Å
};

/// `count` smooth functions of r on [0, end] with an error of some 1e-16 of the largest value of
/// each, and of some 1e-14 of the derivative's.
class RadialTable {
 public:
  /// Writes the values of all functions at r.
  using Functions = std::function<void(long double r, long double* values)>;

  /// Throws Error when the functions vary so quickly that a table makes no sense.
  RadialTable(Functions const& functions, std::size_t count, double end);

  /// Valid as long as this table.
  [[nodiscard]] RadialPieces pieces() const;

 private:
  struct alignas(64) Line {
    std::array<double, padding> values;
  };

  std::vector<Line> coefficients_;
  std::size_t lines_;  ///< per term
  std::size_t pieces_ = 0;
  double end_;
};

}  // namespace torchml::descriptor
