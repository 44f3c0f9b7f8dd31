// Incomplete neighbour lists are noticed, and only those.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "support.hpp"

namespace torchml::test::list_check_tests {
namespace {

constexpr double cutoff = 3.0;

/// 150 particles, 60 of them ghosts, with a skin around the cutoff.
Particles particles(unsigned seed) {
  auto system = random_particles(150, 12.0, 60, seed);
  system.list_neighbors(cutoff + 0.5);
  return system;
}

std::string refusal(Particles const& system, ListPolicy policy) {
  return error_of([&] {
    CachedNeighbors lists(policy);
    lists.rebuild(system.view(), cutoff, 2);
  });
}

/// Takes `particle` out of all lists; its own becomes empty.
void exclude(Particles& system, int particle) {
  for (auto& list : system.lists) std::erase(list, particle);
  system.lists[particle].clear();
}

/// Adds a ghost of the particle's species, as its image, at this distance from it along x.
int add_image(Particles& system, int particle, double distance) {
  auto const at = system.coordinates.begin() + 3 * static_cast<std::ptrdiff_t>(particle);
  std::vector<double> const image = {at[0] + distance, at[1], at[2]};
  system.coordinates.insert(system.coordinates.end(), image.begin(), image.end());
  system.species.push_back(system.species[particle]);
  system.contributing.push_back(0);
  system.lists.emplace_back();
  return static_cast<int>(system.species.size()) - 1;
}

/// A contributing particle that has others within the cutoff, one of them contributing.
int crowded(Particles const& system) {
  for (int i = 0; i < static_cast<int>(system.species.size()); ++i)
    if (system.contributing[i] != 0 && std::ranges::any_of(system.lists[i], [&](int j) {
          return system.contributing[j] != 0 && system.distance(i, j) < cutoff - 0.1;
        }))
      return i;
  return -1;
}

class ListCheckTest : public testing::TestWithParam<unsigned> {};

TEST_P(ListCheckTest, CompleteListsAreAccepted) {
  auto system = particles(GetParam());
  EXPECT_EQ(refusal(system, ListPolicy::complete), "");
  system.list_neighbors(cutoff);  // without a skin
  EXPECT_EQ(refusal(system, ListPolicy::complete), "");
}

TEST_P(ListCheckTest, AMissingPairIsNamed) {
  auto system = particles(GetParam());
  int const i = crowded(system);
  auto const j = *std::ranges::find_if(
      system.lists[i], [&](int other) { return system.distance(i, other) < cutoff - 0.1; });
  std::erase(system.lists[i], j);
  auto const sentence = refusal(system, ListPolicy::complete);
  EXPECT_TRUE(contains(sentence, "list of particle " + std::to_string(i) + " lacks 1 of the "))
      << sentence;
  EXPECT_TRUE(contains(sentence, "particle " + std::to_string(j) + " at ")) << sentence;
  for (std::string const cure : {"neigh_modify every 1 delay 0", "special_bonds lj/coul 1 1 1"})
    EXPECT_TRUE(contains(sentence, cure)) << sentence;
  EXPECT_EQ(refusal(system, ListPolicy::as_given), "");
}

TEST_P(ListCheckTest, PairsBeyondTheCutoffMayBeMissing) {
  auto system = particles(GetParam());
  for (int i = 0; i < 150; ++i)
    std::erase_if(system.lists[i], [&](int j) { return system.distance(i, j) > cutoff; });
  EXPECT_EQ(refusal(system, ListPolicy::complete), "");
}

TEST_P(ListCheckTest, ListsOfGhostsAreNotRead) {
  auto system = particles(GetParam());
  for (int i = 0; i < 150; ++i)
    if (system.contributing[i] == 0) system.lists[i].clear();
  EXPECT_EQ(refusal(system, ListPolicy::complete), "");
}

TEST_P(ListCheckTest, ExcludedParticlesDoNotContribute) {
  auto system = particles(GetParam());
  int const i = crowded(system);
  exclude(system, i);
  EXPECT_NE(refusal(system, ListPolicy::complete), "");
  CachedNeighbors lists(ListPolicy::excluded);
  lists.rebuild(system.view(), cutoff, 2);
  auto const present = lists.present(system.view());
  EXPECT_EQ(present.contributing[i], 0);
  EXPECT_EQ(std::ranges::count(lists.reached(), i), 0);
  auto expected = system.contributing;
  expected[i] = 0;
  EXPECT_TRUE(std::ranges::equal(present.contributing, expected));
}

// fix gcmc of LAMMPS 2025 excludes an atom from all others, but not from its images.
TEST_P(ListCheckTest, ExcludedParticlesMayListTheirImages) {
  auto system = particles(GetParam());
  int const i = crowded(system);
  exclude(system, i);
  int const image = add_image(system, i, 2.0 * cutoff);  // others that do not list it are near
  system.lists[i] = {image};
  CachedNeighbors lists(ListPolicy::excluded);
  lists.rebuild(system.view(), cutoff, 2);
  EXPECT_EQ(lists.present(system.view()).contributing[i], 0);
}

TEST_P(ListCheckTest, AnotherParticleInTheListIsNoImage) {
  auto const excluded = particles(GetParam());
  int const i = crowded(excluded);
  int const entry = static_cast<int>(excluded.species.size());
  auto const with_entry = [&](double distance, auto&& change) {
    auto system = excluded;
    exclude(system, i);
    add_image(system, i, distance);
    system.lists[i] = {entry};
    change(system);
    return refusal(system, ListPolicy::excluded);
  };
  EXPECT_EQ(with_entry(20.0, [](Particles&) {}), "");
  EXPECT_NE(with_entry(20.0, [&](Particles& p) { p.species[entry] = 1 - p.species[i]; }), "");
  EXPECT_NE(with_entry(20.0, [&](Particles& p) { p.lists[crowded(p)].push_back(entry); }), "");
  EXPECT_NE(with_entry(0.5 * cutoff, [](Particles&) {}), "");
}

TEST_P(ListCheckTest, AParticleAloneIsNotTakenForExcluded) {
  auto system = particles(GetParam());
  system.coordinates.insert(system.coordinates.end(), {100.0, 0.0, 0.0});
  system.species.push_back(0);
  system.contributing.push_back(1);
  system.lists.emplace_back();
  EXPECT_EQ(refusal(system, ListPolicy::complete), "");
  EXPECT_TRUE(contains(refusal(system, ListPolicy::excluded), "has no neighbours"));
}

TEST_P(ListCheckTest, AThinnedListIsNoExclusion) {
  auto system = particles(GetParam());
  int const i = crowded(system);
  auto const j = *std::ranges::find_if(system.lists[i], [&](int other) {
    return system.contributing[other] != 0 && system.distance(i, other) < cutoff - 0.1;
  });
  std::erase(system.lists[i], j);
  std::erase(system.lists[j], i);
  EXPECT_NE(refusal(system, ListPolicy::excluded), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, ListCheckTest, testing::Values(1U, 2U, 3U));

TEST(ListCheck, TwoParticlesBeyondTheCutoffAreNotExcluded) {
  Particles pair;
  pair.coordinates = {0.0, 0.0, 0.0, cutoff + 0.3, 0.0, 0.0};
  pair.species = {0, 0};
  pair.contributing = {1, 1};
  pair.list_neighbors(cutoff + 0.5);
  EXPECT_EQ(refusal(pair, ListPolicy::excluded), "");
}

TEST(ListCheck, TwoParticlesWithoutListsAreNotExcluded) {
  Particles pair;
  pair.coordinates = {0.0, 0.0, 0.0, 1.0, 0.0, 0.0};
  pair.species = {0, 1};
  pair.contributing = {1, 1};
  pair.lists.assign(2, {});
  EXPECT_TRUE(contains(refusal(pair, ListPolicy::complete), "lacks 1 of the 1 particles"));
  EXPECT_TRUE(contains(refusal(pair, ListPolicy::excluded), "has no neighbours"));
}

}  // namespace
}  // namespace torchml::test::list_check_tests
