// Edges sorted by their targets and by their sources, for sums without atomics.
#pragma once

#include <torch/types.h>

#include "operators/spline_kernel.hpp"

namespace torchml::operators {

/// Both orders of the edges between `nodes` nodes, computed once for all layers of a model: i32 of
/// 4 + 2 nodes + 4 E elements, to be read by `EdgeOrder`. edge_index: i64 [2, E], row 0 source,
/// row 1 target, in any order. Throws Error for an index that is no node.
torch::Tensor edge_order(torch::Tensor const& edge_index, std::int64_t nodes);

/// View of a tensor that `edge_order` made. Throws Error for another tensor.
struct EdgeOrder {
  explicit EdgeOrder(torch::Tensor const& order);

  std::int64_t nodes = 0;
  std::int64_t edges = 0;
  EdgeList by_target{};
  EdgeList by_source{};
};

}  // namespace torchml::operators
