// torchml::messages: messages with given filters, summed over the edges of each target without an
// array of edges and features; with first and second derivatives, for training.
#pragma once

#include <torch/types.h>

#include <optional>
#include <tuple>
#include <vector>

namespace torchml::operators {

/// What messages are made of. With the terms (out, in, part, factor), four numbers each,
///   sums[t, out] += filters[e, part] * factors[e, factor] * features[source(e), in]
/// for the first E edges, and no factor where it is -1. Rows are F wide, all of one float type.
/// With a weight the filters are inputs of a linear map, filters * weight^T, which is not kept.
struct MessageInputs {
  torch::Tensor filters;                 ///< [E, parts * F], or [E, K]
  std::optional<torch::Tensor> weight;   ///< [parts * F, K]
  torch::Tensor features;                ///< [sources, rows_in * F]
  std::optional<torch::Tensor> factors;  ///< [E, factors]
  torch::Tensor edge_index;              ///< i64 [2, E or more]
  torch::Tensor order;                   ///< of at least these edges, see edge_order
  std::vector<std::int64_t> terms;
};

/// Sums of the first `nodes` nodes: [nodes, rows_out * F]. The same for any number of threads.
torch::Tensor messages(MessageInputs const& inputs, std::int64_t nodes);

/// Which derivatives are requested beside those by filters and factors.
struct MessageNeeds {
  bool weight;
  bool features;
};

/// Derivatives by filters, weight, features and factors (as these), given those by the sums. One
/// that is not requested, or of what is absent, has no elements.
using MessageDerivatives = std::tuple<torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor>;
MessageDerivatives messages_backward(torch::Tensor const& gradient, MessageInputs const& inputs,
                                     MessageNeeds needs);

/// Changes of the inputs (as these); one that is absent is zero.
struct MessageChanges {
  std::optional<torch::Tensor> filters;
  std::optional<torch::Tensor> weight;
  std::optional<torch::Tensor> features;
  std::optional<torch::Tensor> factors;
};

/// How the sums and their derivatives, at the same gradient, change with the inputs. Since the sums
/// are linear in each input, these are also the derivatives, by the gradient and by the inputs, of
/// what the changes make of the results of `messages_backward`.
using MessageTangents =
    std::tuple<torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor>;
MessageTangents messages_double_backward(torch::Tensor const& gradient, MessageInputs const& inputs,
                                         MessageChanges const& changes, MessageNeeds needs);

/// The sums with torch's operators only, which differentiate themselves, for devices without our
/// kernels. `order` is not used.
torch::Tensor composite_messages(MessageInputs const& inputs, std::int64_t nodes);

}  // namespace torchml::operators
