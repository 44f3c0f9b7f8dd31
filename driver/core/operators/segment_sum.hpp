// torchml::segment_sum: sums over the edges of each node, without atomics.
#pragma once

#include <torch/types.h>

namespace torchml::operators {

/// result[index[e]] += values[e] for all e, added in the order of the edges: the same bits for any
/// number of threads. values: [E, ...] in float32 or float64; index: i64 [E] in any order, which is
/// cheapest when it ascends. Returns [nodes, ...], contiguous. Throws Error for an index that is no
/// node.
torch::Tensor segment_sum(torch::Tensor const& values, torch::Tensor const& index,
                          std::int64_t nodes);

/// The same with torch's operators only, for devices without our kernels.
torch::Tensor composite_segment_sum(torch::Tensor const& values, torch::Tensor const& index,
                                    std::int64_t nodes);

}  // namespace torchml::operators
