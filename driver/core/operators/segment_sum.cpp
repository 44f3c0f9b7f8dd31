#include "operators/segment_sum.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <string>
#include <vector>

#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

void check(torch::Tensor const& values, torch::Tensor const& index, std::int64_t nodes) {
  if (values.dim() < 1 || !values.is_floating_point())
    throw Error("segment_sum: the values are not a float tensor, expected [E, ...]");
  if (index.dim() != 1 || index.scalar_type() != torch::kInt64 || index.size(0) != values.size(0))
    throw Error("segment_sum: the index does not fit " + std::to_string(values.size(0)) +
                " rows of values, expected i64 of as many");
  if (nodes < 0)
    throw Error("segment_sum: sums of " + std::to_string(nodes) +
                " nodes are asked for, expected 0 or more");
}

std::vector<std::int64_t> shape_of(torch::Tensor const& values, std::int64_t nodes) {
  auto shape = values.sizes().vec();
  shape[0] = nodes;
  return shape;
}

/// Whether the index ascends. Throws Error for an index that is no node.
bool check_index(std::int64_t const* index, std::int64_t edges, std::int64_t nodes) {
  bool ascending = true;
  for (std::int64_t e = 0; e < edges; ++e) {
    if (index[e] < 0 || index[e] >= nodes)
      throw Error("segment_sum: edge " + std::to_string(e) + " has its end at node " +
                  std::to_string(index[e]) + ", expected 0 to " + std::to_string(nodes - 1));
    ascending = ascending && (e == 0 || index[e - 1] <= index[e]);
  }
  return ascending;
}

template <class Real>
void add_row(Real const* __restrict row, std::int64_t width, Real* __restrict sum) {
  for (std::int64_t k = 0; k < width; ++k) sum[k] += row[k];
}

/// The sums of nodes begin .. end from all edges: faster than to sort them first, since rows are
/// read in the order of memory.
template <class Real>
void add_rows(Real const* values, std::int64_t const* index, std::int64_t first, std::int64_t last,
              std::int64_t width, std::int64_t begin, std::int64_t end, Real* sums) {
  std::fill(sums + begin * width, sums + end * width, Real(0));
  for (std::int64_t e = first; e < last; ++e)
    if (index[e] >= begin && index[e] < end)
      add_row(values + e * width, width, sums + index[e] * width);
}

/// Numbers that justify one more thread.
constexpr std::int64_t kAddendsPerTask = 32768;

}  // namespace

torch::Tensor segment_sum(torch::Tensor const& values, torch::Tensor const& index,
                          std::int64_t nodes) {
  check(values, index, nodes);
  auto const from = values.contiguous();
  auto const places = index.contiguous();
  auto sums = torch::empty(shape_of(values, nodes), values.options());
  auto const edges = from.size(0);
  auto const* const ends = places.const_data_ptr<std::int64_t>();
  bool const ascending = check_index(ends, edges, nodes);
  if (sums.numel() == 0) return sums;
  auto const width = sums.numel() / nodes;
  auto const work = (edges + nodes) * width / nodes;
  auto const grain = std::max<std::int64_t>(1, kAddendsPerTask / std::max<std::int64_t>(1, work));
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "torchml::segment_sum", [&] {
    auto const* const in = from.const_data_ptr<scalar_t>();
    auto* const out = sums.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, nodes, grain, [&](std::int64_t begin, std::int64_t end) {
      auto const place = [&](std::int64_t node) {
        return std::lower_bound(ends, ends + edges, node) - ends;
      };
      auto const first = ascending ? place(begin) : 0, last = ascending ? place(end) : edges;
      add_rows(in, ends, first, last, width, begin, end, out);
    });
  });
  return sums;
}

torch::Tensor composite_segment_sum(torch::Tensor const& values, torch::Tensor const& index,
                                    std::int64_t nodes) {
  check(values, index, nodes);
  return torch::zeros(shape_of(values, nodes), values.options()).index_add(0, index, values);
}

}  // namespace torchml::operators
