// torchml::products: polynomials of atomic tensors with coefficients for each element, and their
// first and second derivatives.
#pragma once

#include <torch/types.h>

#include <tuple>

namespace torchml::operators {

/// What polynomials take. With the terms (output, factors), of which -1 is none,
///   out[n, output, k] += coefficients[elements[n], t, k] * prod_f x[n, factor f, k].
struct ProductInputs {
  torch::Tensor x;             ///< [n, rows, channels], float32 or float64
  torch::Tensor elements;      ///< i64 [n]
  torch::Tensor coefficients;  ///< [Z, T, channels], as x
  torch::Tensor terms;         ///< i32 [T, 1 + degree]
};

/// The polynomials: [n, outputs, channels]. All results are the same for any number of threads.
torch::Tensor products(ProductInputs const& inputs, std::int64_t outputs);

/// A single polynomial [n, 1, channels], and its derivatives by x [n, rows, channels].
std::tuple<torch::Tensor, torch::Tensor> products_with_slopes(ProductInputs const& inputs);

/// Derivatives by x and coefficients (as these), given those by the results. Those by the
/// coefficients, if not requested, have no elements.
std::tuple<torch::Tensor, torch::Tensor> products_backward(torch::Tensor const& gradient,
                                                           ProductInputs const& inputs,
                                                           bool coefficients_too);

/// Derivatives of direction * (the derivative by x that products_backward makes of the gradient),
/// by gradient, x and coefficients (as these).
using ProductSecondDerivatives = std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>;
ProductSecondDerivatives products_second(torch::Tensor const& direction,
                                         torch::Tensor const& gradient, ProductInputs const& inputs,
                                         bool coefficients_too);

/// The same as products with torch's operators only, for devices without our kernels; autograd
/// differentiates it.
torch::Tensor composite_products(ProductInputs const& inputs, std::int64_t outputs);

}  // namespace torchml::operators
