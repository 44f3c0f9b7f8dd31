// Edges of a node in blocks, and where their distances lie among the knots of splines: for kernels,
// once per instruction set.
#pragma once

#include "operators/spline_kernel.hpp"
#include "operators/spline_places.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

constexpr int kBlock = 16;  // distances located at once, one per lane

/// Where they lie, with weights in the element type: converted together, they are then read as
/// they are.
template <class Real>
struct Places {
  std::int32_t interval[kBlock];
  Real value[kOrder][kBlock];
  Real slope[kOrder][kBlock];
};

template <class Real>
void locate(double const* distances, Knots const& knots, Places<Real>& places) {
  SplinePlaces<kBlock> exact;
  locate(distances, knots, exact);
  for (int l = 0; l < kBlock; ++l) places.interval[l] = exact.interval[l];
  for (int j = 0; j < kOrder; ++j)
    for (int l = 0; l < kBlock; ++l) {
      places.value[j][l] = static_cast<Real>(exact.value[j][l]);
      places.slope[j][l] = static_cast<Real>(exact.slope[j][l]);
    }
}

/// Edges of one node, up to a block of them.
struct Edges {
  int count = 0;
  std::int64_t edge[kBlock];
  std::int64_t other[kBlock];
  double distance[kBlock];
};

/// The next edges of a node from `slot` on; edges beyond the `limit` do not take part.
[[maybe_unused]] std::int32_t next_edges(EdgeList const& list, std::int32_t slot, std::int32_t end,
                                         std::int64_t limit, double const* distances,
                                         Edges& edges) {
  edges.count = 0;
  for (; slot < end && edges.count < kBlock; ++slot) {
    if (list.edges[slot] >= limit) return end;  // they are sorted by number
    edges.edge[edges.count] = list.edges[slot];
    edges.other[edges.count] = list.others[slot];
    edges.distance[edges.count++] = distances[list.edges[slot]];
  }
  for (int l = edges.count; l < kBlock; ++l) edges.distance[l] = 0.0;
  return slot;
}

}  // namespace
}  // namespace torchml::operators::TORCHML_SIMD
