// Builds the staged graph of rattled silicon in three ways and times them in turn.
//   graph_benchmark CELLS ROUNDS
// Prints one JSON object on the first line (what was built, and whether all built the same edges),
// then one for each round (CPU time of each way, ms).
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <unordered_set>
#include <vector>

#include "cpu_time.hpp"
#include "graph/shell_graph.hpp"
#include "graph/staged_graph.hpp"
#include "silicon.hpp"

namespace {

using torchml::EdgeIndex;
using torchml::System;
using Pair = std::array<std::int64_t, 2>;

/// Cantor's numbering of the pairs of natural numbers.
struct PairHash {
  std::size_t operator()(Pair const& pair) const {
    auto const a = static_cast<std::size_t>(pair[0]);
    auto const b = static_cast<std::size_t>(pair[1]);
    return (a + b) * (a + b + 1) / 2 + b;
  }
};

/// The original driver's way: every layer goes through the lists of all atoms reached so far and
/// puts both directions of each pair into a hash set; the sets then become arrays.
void build_with_sets(System const& system, std::vector<EdgeIndex>& stages) {
  std::vector<std::unordered_set<Pair, PairHash>> edges(benchmark::layers);
  std::unordered_set<std::int64_t> reached;
  for (std::size_t i = 0; i < system.size(); ++i)
    if (system.contributing[i] != 0) reached.insert(static_cast<std::int64_t>(i));

  double const* const x = system.coordinates.data();
  for (auto& stage : edges) {
    auto next = reached;
    for (auto const i : reached) {
      std::array<double, 3> const here = {x[3 * i], x[3 * i + 1], x[3 * i + 2]};
      for (std::int64_t const j : system.neighbors->neighbors(static_cast<int>(i))) {
        double const dx = x[3 * j] - here[0];
        double const dy = x[3 * j + 1] - here[1];
        double const dz = x[3 * j + 2] - here[2];
        if (!(dx * dx + dy * dy + dz * dz < benchmark::cutoff * benchmark::cutoff)) continue;
        stage.insert({i, j});
        stage.insert({j, i});
        next.insert(j);
      }
    }
    reached = std::move(next);
  }

  stages.resize(edges.size());
  for (std::size_t k = 0; k < edges.size(); ++k) {
    auto& index = stages[k];
    auto const total = edges[k].size();
    index.resize(2 * total);
    std::size_t e = 0;
    for (auto const& [i, j] : edges[k]) {
      index[e] = i;
      index[total + e] = j;
      ++e;
    }
  }
}

std::vector<Pair> sorted_pairs(EdgeIndex const& index) {
  auto const total = index.size() / 2;
  std::vector<Pair> pairs(total);
  for (std::size_t e = 0; e < total; ++e) pairs[e] = {index[e], index[total + e]};
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

/// Each stage of directed edges, seen from both ends.
std::vector<Pair> undirected(EdgeIndex const& index) {
  auto pairs = sorted_pairs(index);
  for (std::size_t e = index.size() / 2; e-- > 0;) pairs.push_back({pairs[e][1], pairs[e][0]});
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

std::size_t edges_of(std::vector<EdgeIndex> const& stages) {
  std::size_t total = 0;
  for (auto const& stage : stages) total += stage.size() / 2;
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: graph_benchmark CELLS ROUNDS\n");
    return 2;
  }
  benchmark::Silicon const silicon(std::atoi(argv[1]));
  auto const system = silicon.system();

  // Ours keeps its memory from one step to the next, as in the driver; the original does not.
  torchml::CachedNeighbors lists;
  torchml::ShellGraph graph;
  std::vector<EdgeIndex> original;
  std::vector<EdgeIndex> symmetric;
  std::vector<EdgeIndex> directed;
  auto const build_original = [&] { build_with_sets(system, original); };
  auto const build = [&](bool is_directed, std::vector<EdgeIndex>& stages) {
    lists.rebuild(system, benchmark::cutoff, benchmark::layers);
    graph.build(system, lists, benchmark::cutoff);
    torchml::stage_edges(graph, is_directed, stages);
  };
  auto const build_symmetric = [&] { build(false, symmetric); };
  auto const build_directed = [&] { build(true, directed); };

  build_original();
  build_symmetric();
  build_directed();
  auto const particles_of = [&](EdgeIndex stage) {
    for (auto& node : stage) node = graph.nodes[node];
    return stage;
  };
  bool same = true;
  for (std::size_t k = 0; k < benchmark::layers; ++k) {
    auto const expected = sorted_pairs(original[k]);
    same = same && sorted_pairs(particles_of(symmetric[k])) == expected &&
           undirected(particles_of(directed[k])) == expected;
  }
  std::printf(
      "{\"atoms\": %ld, \"particles\": %zu, \"same_edges\": %s, \"edges\": "
      "{\"original\": %zu, \"symmetric\": %zu, \"directed\": %zu}}\n",
      std::count(system.contributing.begin(), system.contributing.end(), 1), system.size(),
      same ? "true" : "false", edges_of(original), edges_of(symmetric), edges_of(directed));
  std::fflush(stdout);

  for (int round = std::atoi(argv[2]); round > 0; --round) {
    double const with_sets = benchmark::cpu_time(build_original);
    double const in_both = benchmark::cpu_time(build_symmetric);
    double const in_one = benchmark::cpu_time(build_directed);
    std::printf("{\"original\": %.6f, \"symmetric\": %.6f, \"directed\": %.6f}\n", with_sets,
                in_both, in_one);
    std::fflush(stdout);
  }
  return 0;
}
