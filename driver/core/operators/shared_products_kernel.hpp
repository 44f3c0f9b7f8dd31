// The inner loops of polynomials that have their monomials in common, for one element type.
#pragma once

#include <cstdint>

#include "operators/products_kernel.hpp"

namespace torchml::operators {

/// Polynomials of the columns of x [rows]: the same monomials with other coefficients for each
/// output and channel.
template <class Real>
struct SharedProducts {
  ProductNode const* nodes;  ///< one tree, see ProductPlan
  std::int32_t const* leaves;
  std::int64_t monomials;
  std::int64_t rows;
  std::int64_t outputs;
  std::int64_t channels;
};

template <class Real>
struct SharedProductsKernel {
  std::int64_t lanes;  ///< channels of a tile

  /// Numbers of the scratch, aligned to 64 bytes.
  std::int64_t (*scratch)(SharedProducts<Real> const& products);

  /// Values [atoms, outputs, channels] of x [atoms, rows, channels]. Coefficients: [tiles,
  /// monomials, outputs, lanes], monomials in the order of the tree, aligned to 64 bytes.
  void (*values)(SharedProducts<Real> const& products, Real const* coefficients, Real const* x,
                 std::int64_t atoms, Real* scratch, Real* values);

  /// Derivatives of gradient [atoms, outputs, channels] times the values by x, which they replace.
  void (*slopes)(SharedProducts<Real> const& products, Real const* coefficients,
                 Real const* gradient, std::int64_t atoms, Real* scratch, Real* x);
};

using SharedProductsKernel64 = SharedProductsKernel<double>;
using SharedProductsKernel32 = SharedProductsKernel<float>;

TORCHML_KERNEL(SharedProductsKernel64, shared_products_kernel_f64)
TORCHML_KERNEL(SharedProductsKernel32, shared_products_kernel_f32)

/// The kernel of this processor.
template <class Real>
SharedProductsKernel<Real> const& shared_products_kernel();
template <>
inline SharedProductsKernel<double> const& shared_products_kernel<double>() {
  return shared_products_kernel_f64();
}
template <>
inline SharedProductsKernel<float> const& shared_products_kernel<float>() {
  return shared_products_kernel_f32();
}

}  // namespace torchml::operators
