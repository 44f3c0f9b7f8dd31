// Rows and columns of vectors change places.
#pragma once

#include <utility>

#include "torchml/common/simd/vectors.hpp"

namespace torchml::simd::TORCHML_SIMD {

using RawVector [[gnu::vector_size(lanes * sizeof(double))]] = double;

/// Exchanges, in each 2 x 2 arrangement of blocks of `size` lanes in two rows, the block at the
/// upper right with the one at the lower left.
template <std::size_t size, std::size_t... lane>
TORCHML_INLINE void exchange_blocks(Vector& upper, Vector& lower, std::index_sequence<lane...>) {
  auto const a = __builtin_bit_cast(RawVector, upper);
  auto const b = __builtin_bit_cast(RawVector, lower);
  upper = __builtin_bit_cast(
      Vector, __builtin_shufflevector(a, b, ((lane & size) ? lanes + (lane ^ size) : lane)...));
  lower = __builtin_bit_cast(
      Vector, __builtin_shufflevector(a, b, ((lane & size) ? lanes + lane : (lane ^ size))...));
}

template <std::size_t size>
TORCHML_INLINE void transpose_blocks(Vector* rows) {
  if constexpr (size > 0) {
    for (std::size_t row = 0; row < lanes; ++row)
      if ((row & size) == 0)
        exchange_blocks<size>(rows[row], rows[row + size], std::make_index_sequence<lanes>{});
    transpose_blocks<size / 2>(rows);
  }
}

/// Lane i of rows[j] becomes lane j of rows[i].
TORCHML_INLINE void transpose(Vector (&rows)[lanes]) {
  transpose_blocks<lanes / 2>(rows);
}

}  // namespace torchml::simd::TORCHML_SIMD
