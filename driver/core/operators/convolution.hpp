// torchml::convolution: messages whose filters are splines of the distance, summed over the edges
// of each target without an array of edges and features.
#pragma once

#include <torch/types.h>

#include <optional>
#include <tuple>
#include <vector>

#include "operators/spline_kernel.hpp"

namespace torchml::operators {

/// What a convolution takes. With the terms (out, in, part, factor), four numbers each,
///   sums[t, out] += spline[part](r[e]) * factors[e, factor] * features[source(e), in]
/// for the first E edges, and no factor where it is -1. Rows of features are F wide.
struct ConvolutionInputs {
  torch::Tensor r;                       ///< f64 [E] (Å)
  torch::Tensor features;                ///< [sources, rows_in * F], float32 or float64
  std::optional<torch::Tensor> factors;  ///< [E, factors], as features
  torch::Tensor table;                   ///< [intervals + 5, parts * F], as features
  torch::Tensor edge_index;              ///< i64 [2, E]
  torch::Tensor order;                   ///< of at least these edges, see edge_order
  double cutoff;                         ///< Å
  std::vector<std::int64_t> terms;
};

/// Sums of the first `nodes` nodes: [nodes, rows_out * F]. The same for any number of threads.
torch::Tensor convolution(ConvolutionInputs const& inputs, std::int64_t nodes);

/// Derivatives by r [E], features and factors (as these), given those by the sums. A derivative
/// that is not requested, or of absent factors, has no elements.
using ConvolutionDerivatives = std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>;
ConvolutionDerivatives convolution_backward(torch::Tensor const& gradient,
                                            ConvolutionInputs const& inputs, bool features_too);

/// The same with torch's operators only, for devices without our kernels. `order` is not used.
torch::Tensor composite_convolution(ConvolutionInputs const& inputs, std::int64_t nodes);
ConvolutionDerivatives composite_convolution_backward(torch::Tensor const& gradient,
                                                      ConvolutionInputs const& inputs,
                                                      bool features_too);

/// Numbers of rows and parts that terms refer to. Throws Error when they are no terms.
struct Shape {
  explicit Shape(std::vector<std::int64_t> const& numbers);

  /// One row in, one out, one part, and no factor.
  [[nodiscard]] bool single() const {
    return terms.size() == 1 && rows_in == 1 && rows_out == 1 && parts == 1 && factors == 0;
  }

  std::vector<Term> terms;
  std::vector<TermGroup> groups;  ///< the same terms, sorted by part and row
  std::vector<GroupedTerm> grouped;
  std::int64_t rows_in = 0;
  std::int64_t rows_out = 0;
  std::int64_t parts = 0;
  std::int64_t factors = 0;
};

}  // namespace torchml::operators
