// Lists that are kept while they are right, and read again when anything matters.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "graph/shell_graph.hpp"
#include "periodic.hpp"
#include "support.hpp"

namespace torchml::test {
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
}  // namespace torchml::test
