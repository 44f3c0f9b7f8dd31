// Values of the functions of a RadialTable, each lane with its own r.
#pragma once

#include "radial_table.hpp"
#include "torchml/common/simd/transpose.hpp"
#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;

/// Writes values[f * lanes] and, if there is room for them, derivatives[f * lanes] of the functions
/// f < table.stride. Beyond the end of the table they are what they are there.
///
/// The coefficients of consecutive functions are neighbours in memory but the r of lanes belong to
/// different pieces, so functions are evaluated with the functions in the lanes, and transposed.
template <bool with_derivatives>
inline void radial_functions(RadialPieces const& table, Vector r, double* values,
                             double* derivatives) {
  constexpr std::size_t terms = RadialPieces::terms;
  alignas(64) double position[lanes];
  double const* piece[lanes];
  double t[lanes];
  store(min(r * table.per_length, table.pieces), position);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    auto k = static_cast<std::size_t>(position[lane]);
    if (k > 0 && position[lane] == table.pieces) --k;
    piece[lane] = table.coefficients + k * terms * table.stride;
    t[lane] = 2.0 * (position[lane] - static_cast<double>(k)) - 1.0;
  }
  for (std::size_t f = 0; f < table.stride; f += lanes) {
    Vector value[lanes];
    [[maybe_unused]] Vector slope[lanes];
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      double const* at = piece[lane] + f;
      Vector const x = t[lane];
      Vector v = load(at);
      Vector d = 0.0;
      for (std::size_t c = 1; c < terms; ++c) {
        at += table.stride;
        if constexpr (with_derivatives) d = d * x + v;
        v = v * x + load(at);
      }
      value[lane] = v;
      if constexpr (with_derivatives) slope[lane] = d;
    }
    transpose(value);
    for (std::size_t i = 0; i < lanes; ++i) store(value[i], values + (f + i) * lanes);
    if constexpr (with_derivatives) {
      transpose(slope);
      for (std::size_t i = 0; i < lanes; ++i)
        store(2.0 * table.per_length * slope[i], derivatives + (f + i) * lanes);
    }
  }
}

}  // namespace torchml::descriptor::TORCHML_SIMD
