// Products of small matrices, and the activation of networks, for one element type.
#pragma once

#include <cstdint>

#include "torchml/common/simd/dispatch.hpp"

namespace torchml::operators {

/// Rows of numbers in groups: row j of group i begins at data + i * group_stride + j * stride.
template <class Real>
struct Rows {
  Real* data;
  std::int64_t group;  ///< rows of a group
  std::int64_t group_stride;
  std::int64_t stride;
};

/// out = (start + in matrix) * times, row by row.
template <class Real>
struct DenseLayer {
  Real const*
      panels;         ///< the matrix [inner, width] as [panels, inner, lanes], filled up with zeros
  Real const* start;  ///< [panels, lanes]
  std::int64_t inner;
  std::int64_t width;
};

template <class Real>
struct DenseKernel {
  std::int64_t lanes;  ///< columns of a panel

  /// times: [count, width]; null: 1. No sum depends on the other rows.
  void (*apply)(DenseLayer<Real> const& layer, Rows<Real const> const& in, std::int64_t count,
                Real const* times, Rows<Real> const& out);

  /// z / (1 + exp(-z)) and its derivative; values may be z.
  void (*silu)(Real const* z, std::int64_t count, Real* values, Real* slopes);

  /// sum_k a[k] b[k], in float64.
  double (*dot)(Real const* a, Real const* b, std::int64_t count);
};

using DenseKernel64 = DenseKernel<double>;
using DenseKernel32 = DenseKernel<float>;

TORCHML_KERNEL(DenseKernel64, dense_kernel_f64)
TORCHML_KERNEL(DenseKernel32, dense_kernel_f32)

/// The kernel of this processor.
template <class Real>
DenseKernel<Real> const& dense_kernel();
template <>
inline DenseKernel<double> const& dense_kernel<double>() {
  return dense_kernel_f64();
}
template <>
inline DenseKernel<float> const& dense_kernel<float>() {
  return dense_kernel_f32();
}

}  // namespace torchml::operators
