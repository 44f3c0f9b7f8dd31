// Lists that are kept while they are right, and read again when anything matters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/shell_graph.hpp"
#include "periodic.hpp"
#include "support.hpp"

namespace torchml::test::cached_neighbors_tests {
namespace {

constexpr double cutoff = 4.0;
constexpr int layers = 3;
constexpr double skin = 2.0;

PeriodicSystem rattled() {
  auto system = diamond(2, 0.15);
  system.surround(layers * cutoff + skin, cutoff + skin);
  return system;
}

TEST(CachedNeighbors, AreMadeAnewWhenSomethingMatters) {
  auto system = rattled();
  CachedNeighbors lists;
  EXPECT_TRUE(lists.rebuild(system.view(), cutoff, layers));
  EXPECT_FALSE(lists.rebuild(system.view(), cutoff, layers));
  EXPECT_TRUE(lists.rebuild(system.view(), cutoff, 2));
  EXPECT_TRUE(lists.rebuild(system.view(), 3.5, 2));
  auto const last = [&] { return lists.rebuild(system.view(), 3.5, 2); };
  system.move(0.05, 1);
  EXPECT_FALSE(last());
  system.coordinates[5] += 0.5;
  EXPECT_TRUE(last());
  std::swap(system.lists[system.starts[3]], system.lists[system.starts[3] + 1]);
  EXPECT_TRUE(last());
  system.species[70] = 1 - system.species[70];
  EXPECT_TRUE(last());
  system.contributing[2] = 0;
  EXPECT_TRUE(last());
  EXPECT_FALSE(last());
}

TEST(CachedNeighbors, GiveTheGraphOfTheSimulatorsOwnLists) {
  auto system = rattled();
  CachedNeighbors kept;
  int rebuilt = 0;
  for (int step = 0; step < 30; ++step) {
    system.move(0.02, static_cast<unsigned>(step));
    rebuilt += kept.rebuild(system.view(), cutoff, layers) ? 1 : 0;
    ShellGraph cached;
    cached.build(system.view(), kept, cutoff, layers);
    auto const direct = shell_graph(system.view(), cutoff, layers);
    ASSERT_EQ(cached.nodes, direct.nodes);
    ASSERT_EQ(cached.sources, direct.sources);
    ASSERT_EQ(cached.targets, direct.targets);
    ASSERT_EQ(cached.vectors, direct.vectors);
    ASSERT_EQ(cached.node_counts, direct.node_counts);
    ASSERT_EQ(cached.edge_counts, direct.edge_counts);
  }
  EXPECT_GE(rebuilt, 1);
  EXPECT_LT(rebuilt, 30) << "lists were never kept";
}

TEST(CachedNeighbors, HoldShorterPairsOfParticlesFartherAway) {
  auto system = rattled();
  std::vector<double> const cutoffs = {4.0, 2.5, 2.5, 1.8};
  CachedNeighbors lists;
  for (int step = 0; step < 5; ++step) {
    system.move(0.02, static_cast<unsigned>(step));
    auto const view = system.view();
    lists.rebuild(view, cutoffs);
    auto const within = [&](int i, int j, double length) {
      double square = 0.0;
      for (int c = 0; c < 3; ++c)
        square += std::pow(view.coordinates[3 * i + c] - view.coordinates[3 * j + c], 2);
      return square < length * length;
    };
    for (std::size_t k = 0; k < lists.listed(); ++k) {
      int const i = lists.reached()[k];
      int const hops = lists.hops_to(i);
      EXPECT_LT(k, lists.reached_within(hops));
      EXPECT_TRUE(hops == 0 || k >= lists.reached_within(hops - 1));
      for (int far = 0; far < 4; ++far) {
        auto const list = lists.neighbors_within(i, far);
        std::set<int> const found(list.begin(), list.end());
        EXPECT_EQ(found.size(), list.size());
        double const length = cutoffs[static_cast<std::size_t>(std::max(hops, far))];
        for (int const j : system.view().neighbors->neighbors(i)) {
          EXPECT_TRUE(!within(i, j, length) || found.contains(j));
          EXPECT_TRUE(within(i, j, length + 0.5) || !found.contains(j));
        }
      }
    }
    ShellGraph graph;
    graph.build(view, lists, cutoffs);
    std::size_t edge = 0;
    std::int64_t begin = 0;
    for (std::size_t shell = 0; shell < cutoffs.size(); ++shell) {
      for (auto node = begin; node < graph.node_counts[shell]; ++node) {
        int const i = static_cast<int>(graph.nodes[node]);
        std::multiset<int> expected;
        std::multiset<int> found;
        for (int const j : view.neighbors->neighbors(i))
          if (within(i, j, cutoffs[shell])) expected.insert(j);
        for (; edge < graph.targets.size() && graph.targets[edge] == node; ++edge)
          found.insert(graph.source_particles[edge]);
        ASSERT_EQ(found, expected);
      }
      begin = graph.node_counts[shell];
      ASSERT_EQ(graph.edge_counts[shell], static_cast<std::int64_t>(edge));
    }
  }
}

TEST(CachedNeighbors, ListTheParticlesWithinTheHopsOfTheModel) {
  auto system = rattled();
  CachedNeighbors lists;
  lists.rebuild(system.view(), cutoff, layers);
  EXPECT_EQ(lists.layers(), layers);
  EXPECT_EQ(lists.reached_within(0), system.atom_species.size());
  EXPECT_EQ(lists.listed(), lists.reached_within(layers - 1));
  EXPECT_EQ(lists.reached().size(), lists.reached_within(layers));
  for (std::size_t k = 0; k < lists.reached().size(); ++k) {
    int const particle = lists.reached()[k];
    if (k >= lists.listed()) {
      EXPECT_TRUE(
          contains(error_of([&] { (void)lists.neighbors(particle); }), "has no neighbour list"));
      continue;
    }
    auto const list = lists.neighbors(particle);
    for (int const j : system.neighbors(particle)) {
      double squared = 0.0;
      for (int axis = 0; axis < 3; ++axis) {
        double const d = system.coordinates[3 * j + axis] - system.coordinates[3 * particle + axis];
        squared += d * d;
      }
      if (squared < cutoff * cutoff) {
        EXPECT_NE(std::ranges::find(list, j), list.end()) << particle << " to " << j;
      }
    }
  }
}

TEST(CachedNeighbors, KeepNothingAfterAnError) {
  auto particles = random_particles(6, 3.0, 0, 1);
  particles.list_neighbors(3.0);
  CachedNeighbors lists;
  lists.rebuild(particles.view(), 2.0, 1);
  auto const right = particles.lists;
  particles.lists[2] = {0, 6};
  EXPECT_EQ(error_of([&] { lists.rebuild(particles.view(), 2.0, 1); }),
            "neighbour 6 of particle 2 does not exist, expected an index below 6");
  particles.lists = right;
  EXPECT_TRUE(lists.rebuild(particles.view(), 2.0, 1));
}

TEST(CachedNeighbors, MayBeEmpty) {
  Particles const none;
  CachedNeighbors lists;
  EXPECT_TRUE(lists.rebuild(none.view(), 2.0, 3));
  EXPECT_EQ(lists.listed(), 0U);
  EXPECT_TRUE(lists.reached().empty());
}

}  // namespace
}  // namespace torchml::test::cached_neighbors_tests
