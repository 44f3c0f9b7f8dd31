#include "operators/edge_order.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>
#include <vector>

#include "host/parts.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

/// Stable counting sort of the edges by `keys`. Parts of the edges count and place side by side;
/// into how many they are cut does not change the result.
void sort_edges(std::int64_t const* keys, std::int64_t const* others, std::int64_t edges,
                std::int64_t nodes, std::int32_t* offsets, std::int32_t* sorted,
                std::int32_t* sorted_others) {
  auto const parts = parts_for_threads(edges, std::max(kNumbersOfPart, nodes));
  std::vector<std::int32_t> slots(parts * nodes, 0);  // of each part: first counts, then places
  for_parts(edges, parts, [&](std::int64_t part, std::int64_t begin, std::int64_t end) {
    auto* const counts = slots.data() + part * nodes;
    for (auto e = begin; e < end; ++e) ++counts[keys[e]];
  });
  std::int32_t place = 0;
  for (std::int64_t n = 0; n < nodes; ++n) {
    offsets[n] = place;
    for (std::int64_t part = 0; part < parts; ++part)
      place += std::exchange(slots[part * nodes + n], place);
  }
  offsets[nodes] = place;
  for_parts(edges, parts, [&](std::int64_t part, std::int64_t begin, std::int64_t end) {
    auto* const next = slots.data() + part * nodes;
    for (auto e = begin; e < end; ++e) {
      auto const slot = next[keys[e]]++;
      sorted[slot] = static_cast<std::int32_t>(e);
      sorted_others[slot] = static_cast<std::int32_t>(others[e]);
    }
  });
}

/// Throws Error for an end of an edge that is no node.
void check_ends(std::int64_t const* ends, std::int64_t edges, std::int64_t nodes) {
  auto const is_wrong = [=](std::int64_t end) { return end < 0 || end >= nodes; };
  std::atomic<bool> right = true;
  for_parts(2 * edges, parts_for_threads(2 * edges, kNumbersOfPart),
            [&](std::int64_t /*part*/, std::int64_t begin, std::int64_t end) {
              if (std::any_of(ends + begin, ends + end, is_wrong)) right = false;
            });
  if (right) return;
  auto const k = std::find_if(ends, ends + 2 * edges, is_wrong) - ends;
  throw Error("edge " + std::to_string(k % edges) + " has an end at node " +
              std::to_string(ends[k]) + ", expected 0 to " + std::to_string(nodes - 1));
}

std::int64_t order_size(std::int64_t nodes, std::int64_t edges) {
  return 4 + 2 * nodes + 4 * edges;
}

}  // namespace

torch::Tensor edge_order(torch::Tensor const& edge_index, std::int64_t nodes) {
  if (edge_index.dim() != 2 || edge_index.size(0) != 2 || edge_index.scalar_type() != torch::kInt64)
    throw Error("edge_index is not a tensor of sources and targets, expected i64 [2, E]");
  auto const edges = edge_index.size(1);
  if (std::max(edges, nodes) >= std::numeric_limits<std::int32_t>::max())
    throw Error("there are " + std::to_string(edges) + " edges between " + std::to_string(nodes) +
                " nodes, expected fewer than 2^31 of either");
  auto const index = edge_index.contiguous();
  auto const* const sources = index.const_data_ptr<std::int64_t>();
  auto const* const targets = sources + edges;
  check_ends(sources, edges, nodes);

  auto order = torch::empty({order_size(nodes, edges)}, torch::kInt32);
  auto* const head = order.mutable_data_ptr<std::int32_t>();
  head[0] = static_cast<std::int32_t>(nodes);
  head[1] = static_cast<std::int32_t>(edges);
  auto* const by_target = head + 2;
  auto* const by_source = by_target + nodes + 1;
  auto* const rest = by_source + nodes + 1;
  sort_edges(targets, sources, edges, nodes, by_target, rest, rest + edges);
  sort_edges(sources, targets, edges, nodes, by_source, rest + 2 * edges, rest + 3 * edges);
  return order;
}

EdgeOrder::EdgeOrder(torch::Tensor const& order) {
  bool const plain =
      order.scalar_type() == torch::kInt32 && order.is_contiguous() && order.numel() >= 4;
  auto const* const head = plain ? order.const_data_ptr<std::int32_t>() : nullptr;
  if (!plain || order.numel() != order_size(head[0], head[1]))
    throw Error("the order of the edges has " + std::to_string(order.numel()) +
                " elements, expected what torchml::edge_order makes");
  nodes = head[0];
  edges = head[1];
  auto const* const first = head + 2;
  auto const* const rest = first + 2 * (nodes + 1);
  by_target = {first, rest, rest + edges};
  by_source = {first + nodes + 1, rest + 2 * edges, rest + 3 * edges};
}

}  // namespace torchml::operators
