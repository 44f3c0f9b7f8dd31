// The inner loops of polynomials of atomic tensors, for one element type.
#pragma once

#include <cstdint>

#include "torchml/common/simd/dispatch.hpp"

namespace torchml::operators {

/// Part of a polynomial of x, in Horner's form:
///   sum = own coefficients + sum over leaves of coefficient * x[leaf]
///         + sum over children of x[child.row] * (sum of the child).
/// Nodes lie depth first; coefficients and leaves in the order in which such a walk meets them.
struct ProductNode {
  std::int32_t row;       ///< of x, before the bracket; -1 for a whole polynomial
  std::int32_t own;       ///< coefficients without a factor
  std::int32_t leaves;    ///< coefficients with one factor
  std::int32_t children;  ///< nodes
};

/// Factors of a term for which kernels write out the brackets within brackets.
inline constexpr int kLargestDegree = 4;

/// Polynomials of the columns of x [rows], for all atoms and channels.
template <class Real>
struct Products {
  ProductNode const* nodes;
  std::int32_t const* leaves;
  std::int64_t const* order;  ///< [terms]: the term of each coefficient
  std::int64_t terms;
  std::int64_t rows;
  std::int64_t outputs;
  std::int64_t channels;
  Real const* x;             ///< [n, rows, channels]
  Real const* coefficients;  ///< [elements, terms, channels]
  Real const* gradient;      ///< [n, outputs, channels]; null: 1
  Real const* direction;     ///< as x; null: none
};

/// Where results are written; null where one is not requested. With a direction, they are the
/// derivatives of what is described along it.
template <class Real>
struct ProductResults {
  Real* values;           ///< [n, outputs, channels]
  Real* to_x;             ///< of gradient times values by x, as x
  Real* to_coefficients;  ///< the same by the coefficients, [shares, terms, channels]
};

/// Atoms of one element.
struct ProductShare {
  std::int64_t number;
  std::int64_t element;
  std::int64_t const* atoms;
  std::int64_t count;
};

template <class Real>
struct ProductsKernel {
  std::int64_t lanes;  ///< channels of a tile

  /// Numbers that `run` needs as scratch, aligned to 64 bytes.
  std::int64_t (*scratch)(Products<Real> const& products);

  /// Results of a share for the tile of channels that begins at `channel`.
  void (*run)(Products<Real> const& products, ProductShare const& share, std::int64_t channel,
              Real* scratch, ProductResults<Real> const& results);
};

using ProductsKernel64 = ProductsKernel<double>;
using ProductsKernel32 = ProductsKernel<float>;

TORCHML_KERNEL(ProductsKernel64, products_kernel_f64)
TORCHML_KERNEL(ProductsKernel32, products_kernel_f32)

/// The kernel of this processor.
template <class Real>
ProductsKernel<Real> const& products_kernel();
template <>
inline ProductsKernel<double> const& products_kernel<double>() {
  return products_kernel_f64();
}
template <>
inline ProductsKernel<float> const& products_kernel<float>() {
  return products_kernel_f32();
}

}  // namespace torchml::operators
