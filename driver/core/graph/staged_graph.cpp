#include "graph/staged_graph.hpp"

#include <cstddef>

namespace torchml {

void stage_edges(ShellGraph const& graph, bool directed, std::vector<EdgeIndex>& stages) {
  auto const& sources = graph.sources;
  auto const& targets = graph.targets;
  stages.resize(graph.edge_counts.size());
  for (std::size_t k = 0; k < stages.size(); ++k) {
    auto const edges = static_cast<std::size_t>(graph.edge_counts[k]);
    auto const inner = graph.node_counts[k];
    // An edge out of the inner shells has its reverse in the list already; one from outside the
    // shells does not.
    auto const lacks_reverse = [&](std::size_t e) { return !directed && sources[e] >= inner; };
    std::size_t reversed = 0;
    for (std::size_t e = 0; e < edges; ++e) reversed += lacks_reverse(e) ? 1 : 0;

    auto& index = stages[k];
    auto const total = edges + reversed;
    index.resize(2 * total);
    for (std::size_t e = 0, r = edges; e < edges; ++e) {
      auto const source = sources[e];
      auto const target = targets[e];
      index[e] = source;
      index[total + e] = target;
      if (lacks_reverse(e)) {
        index[r] = target;
        index[total + r] = source;
        ++r;
      }
    }
  }
}

}  // namespace torchml
