// The edge lists of the `graph` convention.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/shell_graph.hpp"

namespace torchml {

/// edge_index{k} as forward takes it: [2, E_k] row by row, indices of nodes.
using EdgeIndex = std::vector<std::int64_t>;

/// Stage k of the graph holds the edges of everything reached in k hops; convolution l of n uses
/// stage n - 1 - l. Writes stages[0..n-1].
/// directed: edges into the nodes of shells 0..k only (row 0 source, row 1 target), so stage
///   k is a prefix of stage k + 1.
/// symmetric: both directions of every such pair, as the original TorchML driver gives them.
void stage_edges(ShellGraph const& graph, bool directed, std::vector<EdgeIndex>& stages);

}  // namespace torchml
