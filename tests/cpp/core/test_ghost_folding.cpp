// Folded ghosts change no result; particles that may be no images are computed separately.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

#include "graph/ghost_folding.hpp"
#include "graph/shell_graph.hpp"
#include "periodic.hpp"
#include "potential.hpp"
#include "support.hpp"

namespace torchml::test::ghost_folding_tests {
namespace {

constexpr double cutoff = 4.0;
constexpr int layers = 3;
constexpr double skin = 2.0;

/// Three layers of messages that depend on distances, directions and species.
std::string const message_passing = R"(
def forward(self, species, edge_vectors, edge_index, contributing):
    r = edge_vectors.square().sum(1).sqrt()
    f = self.w * (1 - (r / 4.0).square()).clamp(min=0.0).pow(3)
    h = 1.0 + 0.3 * species.to(edge_vectors.dtype)
    for layer in range(3):
        m = h.index_select(0, edge_index[0]) * f
        s = torch.zeros_like(h).index_add(0, edge_index[1], m)
        v = torch.zeros([h.size(0), 3], dtype=h.dtype).index_add(
            0, edge_index[1], edge_vectors * m.unsqueeze(1))
        h = torch.tanh(0.5 * h + 0.2 * s + 0.02 * v.square().sum(1))
    return h
)";

/// Long edges into the contributing atoms; what their sources are, shorter ones tell.
std::string const shorter_edges_of_ghosts = R"(
def forward(self, species, edge_vectors, edge_index, contributing,
            node_counts: List[int], edge_counts: List[int]):
    r = edge_vectors.square().sum(1).sqrt()
    short = self.w * (1 - (r / 3.0).square()).clamp(min=0.0).pow(3)
    long = self.w * (1 - (r / 4.0).square()).clamp(min=0.0).pow(3)
    h = 1.0 + 0.3 * species.to(edge_vectors.dtype)
    for layer in range(2):
        e = edge_counts[2 - layer]
        m = h.index_select(0, edge_index[0, :e]) * short[:e]
        h = torch.tanh(0.5 * h + 0.2 * torch.zeros_like(h).index_add(0, edge_index[1, :e], m))
    e = edge_counts[0]
    m = h.index_select(0, edge_index[0, :e]) * long[:e]
    return h + torch.zeros_like(h).index_add(0, edge_index[1, :e], m)
)";

PeriodicSystem rattled(int cells = 2) {
  auto system = diamond(cells, 0.15);
  system.surround(layers * cutoff + skin, cutoff + skin);
  return system;
}

/// The half of the box that a rank owns.
void give_to_rank(PeriodicSystem& system, int rank) {
  auto const count = static_cast<int>(system.atom_species.size());
  for (int i = 0; i < count; ++i) {
    bool const left = system.coordinates[3 * i] < system.box[0][0] / 2;
    system.contributing[i] = left == (rank == 0) ? 1 : 0;
  }
}

/// Nodes of the graph of a system that moved `steps` times before.
std::size_t folded_nodes(PeriodicSystem& system, Folding folding, int steps) {
  CachedNeighbors lists;
  GhostFolding ghosts(folding);
  ShellGraph graph;
  for (int step = 0; step <= steps; ++step) {
    if (step > 0) system.move(0.003, static_cast<unsigned>(step));
    bool const renewed = lists.rebuild(system.view(), cutoff, layers);
    auto const owners = ghosts.owners(system.view(), lists, renewed, cutoff);
    graph.build(system.view(), lists, cutoff, layers, owners);
  }
  return graph.nodes.size();
}

class FoldedForces : public testing::Test {
 protected:
  FoldedForces()
      : path_(write_model(
            folder_, message_passing,
            {{"species", "Si O"}, {"cutoff", "4.0"}, {"layers", "3"}, {"convention", "edges"}})) {}

  Potential potential(Folding folding) const {
    return Potential({.model = path_,
                      .settings = {.ghost_folding = folding != Folding::off,
                                   .job_size = folding == Folding::several_ranks ? 2 : 1}});
  }

  using Change = std::function<void(PeriodicSystem&, int)>;

  /// Evaluates a system step after step, with and without folding, and compares everything.
  /// `raw`: forces of each particle, else their sums over the images of each atom.
  void expect_same(PeriodicSystem const& system, Folding folding, int steps, bool raw,
                   Change const& change) {
    follow(
        system, folding, steps, change,
        [](PeriodicSystem const& now, auto const& evaluate) { evaluate(now.view()); },
        [raw](PeriodicSystem const& now, Result const& found, Result const& expected) {
          for (std::size_t i = 0; i < expected.particle_energies.size(); ++i)
            ASSERT_NEAR(found.particle_energies[i], expected.particle_energies[i], 1e-12);
          auto const forces = raw ? found.forces : now.reduced(found.forces);
          auto const right = raw ? expected.forces : now.reduced(expected.forces);
          for (std::size_t i = 0; i < right.size(); ++i) ASSERT_NEAR(forces[i], right[i], 1e-10);
          Virial sum{};
          for (std::size_t i = 0; i < found.kim_particle_virials.size(); ++i)
            sum[i % 6] += found.kim_particle_virials[i];
          for (int c = 0; c < 6; ++c) ASSERT_NEAR(sum[c], expected.kim_virial[c], 1e-10);
        });
  }

  /// The same with owners that are given and ghosts within one cutoff, in the first evaluation too.
  void expect_same_with_owners(PeriodicSystem const& system, int steps, Change const& change) {
    follow(
        system, Folding::one_rank, steps, change,
        [](PeriodicSystem const& now, auto const& evaluate) {
          auto near = now;
          near.surround(cutoff, cutoff);
          near.forget_lists_of_ghosts();
          evaluate(near.view_with_owners());
        },
        [](PeriodicSystem const& now, Result const& found, Result const& expected) {
          auto const energies = now.reduced(expected.particle_energies, 1);
          auto const forces = now.reduced(expected.forces);
          auto const virials = now.reduced(expected.kim_particle_virials, 6);
          for (std::size_t i = 0; i < energies.size(); ++i)
            ASSERT_NEAR(found.particle_energies[i], energies[i], 1e-12);
          for (std::size_t i = 0; i < forces.size(); ++i)
            ASSERT_NEAR(found.forces[i], forces[i], 1e-10);
          for (std::size_t i = 0; i < virials.size(); ++i)
            ASSERT_NEAR(found.kim_particle_virials[i], virials[i], 1e-10);
        });
  }

  static void move(PeriodicSystem& system, int step) {
    system.move(0.003, static_cast<unsigned>(step));
  }

  /// Moves a system step after step, and hands what a potential that folds finds (`sparing`
  /// evaluates views of the system) to `compare`, beside the results without folding.
  void follow(PeriodicSystem system, Folding folding, int steps, Change const& change,
              auto const& sparing, auto const& compare) {
    auto const plain = potential(Folding::off);
    auto const folded = potential(folding);
    Evaluator one(plain);
    Evaluator other(folded);
    Request const request{.particle_energies = true, .virial = true, .particle_virials = true};
    Result expected;
    Result found;
    for (int step = 0; step <= steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      if (step > 0) change(system, step);
      one.evaluate(system.view(), request, expected);
      sparing(system, [&](System const& view) { other.evaluate(view, request, found); });
      ASSERT_NEAR(found.energy, expected.energy, 1e-10);
      for (int c = 0; c < 6; ++c) ASSERT_NEAR(found.kim_virial[c], expected.kim_virial[c], 1e-10);
      ASSERT_NO_FATAL_FAILURE(compare(system, found, expected));
    }
  }

  TemporaryFolder folder_;
  fs::path path_;
};

TEST(GhostFolding, LeavesTheAtomsOfOneRank) {
  auto system = rattled();
  EXPECT_EQ(folded_nodes(system, Folding::one_rank, 2), 64U);
  auto again = rattled();
  EXPECT_GT(folded_nodes(again, Folding::off, 2), 600U);
}

TEST(GhostFolding, LeavesEachAtomOnceOnSeveralRanks) {
  auto system = rattled(4);
  give_to_rank(system, 0);
  auto const nodes = folded_nodes(system, Folding::several_ranks, 12);
  EXPECT_LE(nodes, system.atom_species.size());
  auto again = rattled(4);
  give_to_rank(again, 0);
  EXPECT_GT(folded_nodes(again, Folding::off, 12), 2 * nodes);
}

TEST(GhostFolding, WaitsForMotion) {
  auto still = rattled();
  EXPECT_GT(folded_nodes(still, Folding::one_rank, 0), 600U);
  auto moved_once = rattled();
  EXPECT_EQ(folded_nodes(moved_once, Folding::one_rank, 1), 64U);
  auto on_ranks = rattled();
  EXPECT_GT(folded_nodes(on_ranks, Folding::several_ranks, 5), 600U);
}

TEST(GhostFolding, KeepsFoldingWhenListsAreRenewed) {
  auto system = rattled();
  folded_nodes(system, Folding::one_rank, 1);
  CachedNeighbors lists;
  GhostFolding ghosts(Folding::one_rank);
  for (int step = 0; step < 12; ++step) {
    system.move(0.02, static_cast<unsigned>(step));
    if (step % 3 == 2) system.surround(layers * cutoff + skin, cutoff + skin);
    bool const renewed = lists.rebuild(system.view(), cutoff, layers);
    auto const owners = ghosts.owners(system.view(), lists, renewed, cutoff);
    if (step < 2) continue;
    ASSERT_FALSE(owners.empty()) << "step " << step;
    for (int const particle : lists.reached())
      EXPECT_EQ(owners[particle], system.image_of[particle]);
  }
}

TEST(GhostFolding, OwnersThatAreGivenLeaveTheAtomsAlone) {
  auto system = rattled();
  system.surround(cutoff, cutoff);
  system.forget_lists_of_ghosts();
  CachedNeighbors lists;
  lists.rebuild(system.view_with_owners(), cutoff, 1);
  ShellGraph graph;
  graph.build(system.view_with_owners(), lists, cutoff, layers, system.image_of);
  EXPECT_EQ(graph.node_counts, std::vector<std::int64_t>(layers + 1, 64));
  EXPECT_EQ(graph.edge_counts, std::vector<std::int64_t>(layers, graph.edge_counts.front()));
  EXPECT_EQ(graph.edge_counts.front(), static_cast<std::int64_t>(graph.sources.size()));
}

TEST_F(FoldedForces, WithOwnersThatAreGiven) {
  expect_same_with_owners(rattled(), 3, move);
}

TEST_F(FoldedForces, WithOwnersInACellSmallerThanTheCutoff) {
  PeriodicSystem system;
  system.box = {{{2.9, 0.0, 0.0}, {0.0, 3.4, 0.0}, {0.0, 0.0, 7.1}}};
  system.atoms = {0.1, 0.2, 0.3, 1.4, 1.9, 2.6};
  system.atom_species = {0, 1};
  for (bool const periodic : {true, false}) {
    system.periodic[2] = periodic;
    system.surround(layers * cutoff, cutoff);
    expect_same_with_owners(system, 2, move);
  }
}

TEST_F(FoldedForces, WithOwnersInOneEvaluationAndWithoutInTheNext) {
  auto const sparing = potential(Folding::one_rank);
  Evaluator evaluator(sparing);
  auto system = rattled();
  Result expected;
  Result found;
  for (int step = 0; step < 6; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    move(system, step);
    Evaluator(sparing).evaluate(system.view(), {}, expected);
    evaluator.evaluate(step % 2 == 0 ? system.view_with_owners() : system.view(), {}, found);
    ASSERT_NEAR(found.energy, expected.energy, 1e-10);
    auto const forces = system.reduced(found.forces);
    auto const right = system.reduced(expected.forces);
    for (std::size_t i = 0; i < right.size(); ++i) ASSERT_NEAR(forces[i], right[i], 1e-10);
  }
}

TEST_F(FoldedForces, OfOneRank) {
  expect_same(rattled(), Folding::one_rank, 4, false, move);
}

TEST_F(FoldedForces, OfTwoRanks) {
  for (int rank : {0, 1}) {
    auto system = rattled(3);
    give_to_rank(system, rank);
    expect_same(system, Folding::several_ranks, 11, false, move);
  }
}

TEST_F(FoldedForces, WithShorterEdgesOfGhosts) {
  path_ = write_model(folder_, shorter_edges_of_ghosts,
                      {{"species", "Si O"},
                       {"cutoff", "4.0"},
                       {"layers", "3"},
                       {"convention", "edges"},
                       {"shell_cutoffs", "4.0 3.0 3.0"}});
  auto one = rattled();
  one.surround(10.0 + skin, cutoff + skin);
  expect_same(one, Folding::one_rank, 4, false, move);
  for (int rank : {0, 1}) {
    auto system = rattled(3);
    system.surround(10.0 + skin, cutoff + skin);
    give_to_rank(system, rank);
    expect_same(system, Folding::several_ranks, 11, false, move);
  }
}

TEST(GhostFolding, FoldsWhereEdgesOfGhostsAreShorter) {
  auto system = rattled();
  std::vector<double> const cutoffs = {4.0, 3.0, 2.5};
  CachedNeighbors lists;
  GhostFolding ghosts(Folding::one_rank);
  ShellGraph graph;
  for (int step = 0; step <= 2; ++step) {
    if (step > 0) system.move(0.003, static_cast<unsigned>(step));
    bool const renewed = lists.rebuild(system.view(), cutoffs);
    auto const owners = ghosts.owners(system.view(), lists, renewed, cutoffs[1]);
    graph.build(system.view(), lists, cutoffs, owners);
  }
  EXPECT_EQ(graph.nodes.size(), 64U);
}

TEST_F(FoldedForces, OfASlabWithFreeSurfaces) {
  auto system = diamond(2, 0.15);
  system.periodic[2] = false;
  system.surround(layers * cutoff + skin, cutoff + skin);
  expect_same(system, Folding::one_rank, 3, false, move);
}

TEST_F(FoldedForces, WithAVacancy) {
  for (double const rattle : {0.0, 0.1}) {
    auto system = diamond(2, rattle);
    system.atoms.erase(system.atoms.begin(), system.atoms.begin() + 3);
    system.atom_species.erase(system.atom_species.begin());
    system.surround(layers * cutoff + skin, cutoff + skin);
    expect_same(system, Folding::one_rank, 3, false, move);
  }
}

TEST_F(FoldedForces, WithListsThatEndAtTheCutoff) {
  expect_same(rattled(), Folding::one_rank, 4, false, [](PeriodicSystem& system, int step) {
    move(system, step);
    system.surround(layers * cutoff, cutoff);
  });
}

TEST_F(FoldedForces, InACellThatDeforms) {
  expect_same(rattled(), Folding::one_rank, 5, false, [](PeriodicSystem& system, int step) {
    constexpr double strain[3][3] = {{1.001, 0, 0}, {0.0005, 0.9995, 0}, {-0.0003, 0.0002, 1.0}};
    auto const deform = [&](double* x) {
      Vector const old{x[0], x[1], x[2]};
      for (int axis = 0; axis < 3; ++axis)
        x[axis] = old[0] * strain[0][axis] + old[1] * strain[1][axis] + old[2] * strain[2][axis];
    };
    for (auto& vector : system.box) deform(vector.data());
    for (std::size_t i = 0; i < system.atoms.size(); i += 3) deform(&system.atoms[i]);
    move(system, step);
  });
}

TEST_F(FoldedForces, WithGhostsThatMovedAlone) {
  std::mt19937 random(7);
  for (double const distance : {1e-12, 1e-9, 1e-6, 1e-3}) {
    SCOPED_TRACE(distance);
    expect_same(rattled(), Folding::one_rank, 5, false, [&](PeriodicSystem& system, int step) {
      move(system, step);
      if (step < 2) return;
      auto const atoms = static_cast<int>(system.atom_species.size());
      auto const last = static_cast<int>(system.species.size()) - 1;
      std::uniform_int_distribution<int> ghost(atoms, last);
      for (int k = 0; k < 10 * step; ++k) system.coordinates[3 * ghost(random) + k % 3] += distance;
    });
  }
}

TEST_F(FoldedForces, WithGhostsOfOtherSpeciesOrListsThanTheirAtoms) {
  expect_same(rattled(), Folding::one_rank, 4, false, [](PeriodicSystem& system, int step) {
    move(system, step);
    auto const atoms = system.atom_species.size();
    // Ghosts close to the box first.
    std::vector<int> near;
    for (auto p = atoms; p < system.species.size(); ++p) {
      auto const* const x = &system.coordinates[3 * p];
      if (std::min({x[0], x[1], x[2]}) > -3.0 && std::max({x[0], x[1], x[2]}) < 14.0)
        near.push_back(static_cast<int>(p));
    }
    if (step == 2) system.species[near[5]] = 1 - system.species[near[5]];
    // A list that lost a neighbour: the ghost has fewer than its atom.
    if (step == 3) system.lists[system.starts[near[9]]] = system.lists[system.starts[near[9]] + 1];
  });
}

TEST_F(FoldedForces, BesideGhostsThatAreNoImagesAndMoveAlone) {
  // A ghost that moved alone leaves its neighbours without proof. When one of them moves alone too,
  // which nothing follows, its other neighbours must not be images.
  auto const system = rattled();
  auto const atoms = static_cast<int>(system.atom_species.size());
  auto const last = static_cast<int>(system.species.size()) - 1;
  std::mt19937 random(11);
  std::uniform_int_distribution<int> ghost(atoms, last);
  std::vector<int> alone;
  expect_same(system, Folding::one_rank, 12, false, [&](PeriodicSystem& now, int step) {
    move(now, step);
    if (step >= 2) alone.push_back(ghost(random));
    for (int const particle : alone) now.coordinates[3 * particle] += 0.01;
  });
}

TEST_F(FoldedForces, OfContributingGhosts) {
  // Images that contribute are atoms of their own.
  auto system = rattled();
  for (std::size_t p = 64; p < 80; ++p) system.contributing[p] = 1;
  expect_same(system, Folding::one_rank, 3, true, move);
}

/// Nothing periodic: forces belong to each particle, copies of it or not.
TEST_F(FoldedForces, OfPerfectClustersWithArbitraryFlags) {
  std::mt19937 random(3);
  for (double const share : {0.5, 0.1, 0.02, 0.0}) {
    SCOPED_TRACE(share);
    auto system = diamond(4, 0.0);
    system.periodic = {false, false, false};
    system.surround(0.0, cutoff + skin);
    std::bernoulli_distribution contributes(share);
    for (auto& flag : system.contributing) flag = contributes(random) ? 1 : 0;
    system.contributing[200] = 1;  // in the middle
    expect_same(system, Folding::one_rank, 6, true, [](PeriodicSystem& crystal, int step) {
      for (auto& x : crystal.atoms) x = step % 2 == 0 ? x + 0.01 : 1.002 * x;
      crystal.place();
    });
  }
}

TEST_F(FoldedForces, OfClustersOfCopiesThatMoveAsTheyLike) {
  // A rattled cell, repeated, as an image would be; then all particles move independently.
  auto cell = diamond(2, 0.15);
  cell.surround(8.0, cutoff + skin);
  PeriodicSystem cluster;
  cluster.box = cell.box;
  cluster.periodic = {false, false, false};
  cluster.atoms = cell.coordinates;
  cluster.atom_species = cell.species;
  cluster.surround(0.0, cutoff + skin);
  cluster.contributing = cell.contributing;
  expect_same(cluster, Folding::one_rank, 3, true, move);
}

}  // namespace
}  // namespace torchml::test::ghost_folding_tests
