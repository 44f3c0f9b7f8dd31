#include "graph/dependents.hpp"

#include <cstddef>

namespace torchml {
namespace {

/// Adds to `reached` what lies within `cutoff` (Å) of its entries from `begin` on.
void add_neighbors(System const& system, double cutoff, std::size_t begin,
                   std::vector<int>& is_reached, std::vector<int>& reached) {
  double const* const x = system.coordinates.data();
  for (auto const end = reached.size(); begin < end; ++begin) {
    double const* const from = x + 3 * static_cast<std::size_t>(reached[begin]);
    for (int const j : system.neighbors->neighbors(reached[begin])) {
      if (is_reached[j] != 0) continue;
      double const* const to = x + 3 * static_cast<std::size_t>(j);
      double const dx = to[0] - from[0];
      double const dy = to[1] - from[1];
      double const dz = to[2] - from[2];
      if (dx * dx + dy * dy + dz * dz >= cutoff * cutoff) continue;
      is_reached[j] = 1;
      reached.push_back(j);
    }
  }
}

}  // namespace

std::vector<int> with_dependents(System const& system, std::span<double const> cutoffs) {
  std::vector<int> depends(system.contributing.begin(), system.contributing.end());
  // An energy looks along paths whose first edge may be as long as cutoffs[0]. Followed from their
  // ends, paths of n edges begin with cutoffs[n - 1].
  for (std::size_t edges = 1; edges <= cutoffs.size(); ++edges) {
    std::vector<int> is_reached(system.contributing.begin(), system.contributing.end());
    std::vector<int> reached;
    for (std::size_t i = 0; i < is_reached.size(); ++i)
      if (is_reached[i] != 0) reached.push_back(static_cast<int>(i));
    std::size_t begin = 0;
    for (std::size_t k = edges; k-- > 0;) {
      auto const end = reached.size();
      // All again where this edge may be longer than the one before.
      bool const longer = k + 1 < edges && cutoffs[k] > cutoffs[k + 1];
      add_neighbors(system, cutoffs[k], longer ? 0 : begin, is_reached, reached);
      begin = end;
    }
    for (int const i : reached) depends[i] = 1;
  }
  return depends;
}

}  // namespace torchml
