#include <gtest/gtest.h>

#include <array>
#include <set>
#include <unordered_set>

#include "graph/shell_graph.hpp"
#include "graph/staged_graph.hpp"
#include "support.hpp"

namespace torchml::test::shell_graph_tests {
namespace {

using Pairs = std::set<std::array<std::int64_t, 2>>;

/// The pairs of a stage as particles.
Pairs pairs_of(EdgeIndex const& index, ShellGraph const& graph) {
  Pairs pairs;
  auto const edges = index.size() / 2;
  for (std::size_t e = 0; e < edges; ++e)
    pairs.insert({graph.nodes[index[e]], graph.nodes[index[edges + e]]});
  EXPECT_EQ(pairs.size(), edges) << "an edge stands twice";
  return pairs;
}

/// The definition, with sets: stage k holds, in both directions, all pairs of the particles
/// reached in k hops.
std::vector<Pairs> reference_stages(Particles const& particles, double cutoff, int layers) {
  std::vector<Pairs> stages(layers);
  std::unordered_set<int> reached;
  auto const count = static_cast<int>(particles.species.size());
  for (int i = 0; i < count; ++i)
    if (particles.contributing[i] == 1) reached.insert(i);
  for (auto& stage : stages) {
    auto next = reached;
    for (int const i : reached)
      for (int j = 0; j < count; ++j) {
        if (i == j || !(particles.distance(i, j) < cutoff)) continue;
        stage.insert({i, j});
        stage.insert({j, i});
        next.insert(j);
      }
    reached = next;
  }
  return stages;
}

class Graphs : public testing::TestWithParam<int> {
 protected:
  Particles particles_ = [] {
    auto const seed = static_cast<unsigned>(GetParam());
    auto particles = random_particles(40, 7.0, 5 * (GetParam() % 7), seed);
    particles.list_neighbors(2.0 + 0.5);  // a list with a skin
    return particles;
  }();
  static constexpr double cutoff = 2.0;
  static constexpr int layers = 3;
};

TEST_P(Graphs, SymmetricStagesAreTheDefinition) {
  auto const graph = shell_graph(particles_.view(), cutoff, layers);
  std::vector<EdgeIndex> stages;
  stage_edges(graph, false, stages);
  auto const reference = reference_stages(particles_, cutoff, layers);
  ASSERT_EQ(stages.size(), reference.size());
  for (int k = 0; k < layers; ++k)
    EXPECT_EQ(pairs_of(stages[k], graph), reference[k]) << "stage " << k;
}

TEST_P(Graphs, DirectedStagesAreNestedPrefixes) {
  auto const graph = shell_graph(particles_.view(), cutoff, layers);
  std::vector<EdgeIndex> stages;
  stage_edges(graph, true, stages);
  for (int k = 0; k < layers; ++k) {
    auto const edges = stages[k].size() / 2;
    auto const& last = stages.back();
    for (std::size_t e = 0; e < edges; ++e) {
      EXPECT_EQ(stages[k][e], last[e]);
      EXPECT_EQ(stages[k][edges + e], last[last.size() / 2 + e]);
    }
    // Every edge into a particle of shells 0..k, none into others.
    std::set<std::int64_t> const inner(graph.nodes.begin(),
                                       graph.nodes.begin() + graph.node_counts[k]);
    Pairs expected;
    for (auto const i : inner)
      for (int j = 0; j < static_cast<int>(particles_.species.size()); ++j)
        if (j != i && particles_.distance(static_cast<int>(i), j) < cutoff) expected.insert({j, i});
    EXPECT_EQ(pairs_of(stages[k], graph), expected);
  }
}

TEST_P(Graphs, NodesAreSortedByShellAndVectorsPointToTheSource) {
  auto const graph = shell_graph(particles_.view(), cutoff, layers);
  std::int64_t contributing = 0;
  for (int const flag : particles_.contributing) contributing += flag;
  EXPECT_EQ(graph.node_counts.front(), contributing);
  EXPECT_EQ(graph.node_counts.back(), static_cast<std::int64_t>(graph.nodes.size()));
  EXPECT_TRUE(std::is_sorted(graph.targets.begin(), graph.targets.end()));
  for (std::size_t e = 0; e < graph.sources.size(); ++e)
    for (int axis = 0; axis < 3; ++axis)
      EXPECT_EQ(graph.vectors[3 * e + axis],
                particles_.coordinates[3 * graph.nodes[graph.sources[e]] + axis] -
                    particles_.coordinates[3 * graph.nodes[graph.targets[e]] + axis]);
}

INSTANTIATE_TEST_SUITE_P(Random, Graphs, testing::Range(0, 14));

TEST(ShellGraph, PairsAtTheCutoffAreOutside) {
  Particles pair;
  pair.coordinates = {0, 0, 0, 2, 0, 0};
  pair.species = {0, 0};
  pair.contributing = {1, 1};
  pair.list_neighbors(3.0);
  auto const graph = shell_graph(pair.view(), 2.0, 1);
  EXPECT_TRUE(graph.sources.empty());
  EXPECT_EQ(shell_graph(pair.view(), std::nextafter(2.0, 3.0), 1).sources.size(), 2U);
}

TEST(ShellGraph, EmptyAndLonelySystems) {
  Particles none;
  auto const graph = shell_graph(none.view(), 2.0, 3);
  EXPECT_TRUE(graph.nodes.empty());
  EXPECT_EQ(graph.edge_counts, (std::vector<std::int64_t>{0, 0, 0}));

  auto ghosts = random_particles(5, 3.0, 5, 1);
  ghosts.list_neighbors(2.0);
  EXPECT_TRUE(shell_graph(ghosts.view(), 2.0, 3).nodes.empty());
}

TEST(ShellGraph, ReadsAListBeforeAskingForTheNext) {
  struct OneBuffer : NeighborSource {
    explicit OneBuffer(Particles const& particles) : particles_(particles) {}
    [[nodiscard]] std::span<int const> neighbors(int i) const override {
      std::fill(buffer_.begin(), buffer_.end(), -999);
      buffer_ = particles_.lists[i];
      return buffer_;
    }
    Particles const& particles_;
    mutable std::vector<int> buffer_;
  };
  auto particles = random_particles(30, 6.0, 10, 3);
  particles.list_neighbors(2.5);
  OneBuffer const shared(particles);
  auto system = particles.view();
  auto const expected = shell_graph(system, 2.0, 2);
  system.neighbors = &shared;
  auto const graph = shell_graph(system, 2.0, 2);
  EXPECT_EQ(graph.sources, expected.sources);
  EXPECT_EQ(graph.vectors, expected.vectors);
}

TEST(ShellGraph, AForeignNeighbourIsAnError) {
  auto particles = random_particles(3, 2.0, 0, 1);
  particles.lists = {{1, 7}, {0}, {}};
  EXPECT_TRUE(contains(error_of([&] { shell_graph(particles.view(), 2.0, 1); }),
                       "neighbour 7 of particle 0"));
}

}  // namespace
}  // namespace torchml::test::shell_graph_tests
