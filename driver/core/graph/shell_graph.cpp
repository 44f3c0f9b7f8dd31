#include "graph/shell_graph.hpp"

namespace torchml {

void ShellGraph::build(System const& system, CachedNeighbors const& lists,
                       std::span<double const> cutoffs, std::span<int const> owners) {
  auto const particles = static_cast<std::int64_t>(system.size());
  nodes.clear();
  sources.clear();
  targets.clear();
  source_particles.clear();
  vectors.clear();
  node_counts.clear();
  edge_counts.clear();
  node_of_.assign(system.size(), -1);

  auto const visit = [&](std::int64_t particle) {
    if (node_of_[particle] < 0) {
      node_of_[particle] = static_cast<std::int64_t>(nodes.size());
      nodes.push_back(particle);
    }
    return node_of_[particle];
  };

  for (std::int64_t i = 0; i < particles; ++i)
    if (system.contributing[i] != 0) visit(i);
  node_counts.push_back(static_cast<std::int64_t>(nodes.size()));

  double const* const x = system.coordinates.data();
  std::int64_t target = 0;
  for (double const cutoff : cutoffs) {
    double const cutoff_squared = cutoff * cutoff;
    for (; target < node_counts.back(); ++target) {
      auto const i = nodes[target];
      double const* const xi = x + 3 * i;
      for (int const j : lists.neighbors(static_cast<int>(i))) {
        double const* const xj = x + 3 * std::int64_t{j};
        double const dx = xj[0] - xi[0];
        double const dy = xj[1] - xi[1];
        double const dz = xj[2] - xi[2];
        if (!(dx * dx + dy * dy + dz * dz < cutoff_squared)) continue;
        sources.push_back(visit(owners.empty() ? j : owners[j]));
        targets.push_back(target);
        source_particles.push_back(j);
        vectors.insert(vectors.end(), {dx, dy, dz});
      }
    }
    edge_counts.push_back(static_cast<std::int64_t>(sources.size()));
    node_counts.push_back(static_cast<std::int64_t>(nodes.size()));
  }
}

}  // namespace torchml
