#include <gtest/gtest.h>

#include "deviations.hpp"
#include "graph/dependents.hpp"
#include "support.hpp"

namespace torchml::test::dependents_tests {
namespace {

/// The definition: whether the energy of a particle, which looks along edges of these lengths, sees
/// a contributing one.
bool sees_contributing(Particles const& particles, int from, std::vector<double> const& cutoffs,
                       std::size_t hops = 0) {
  if (particles.contributing[from] != 0) return true;
  if (hops == cutoffs.size()) return false;
  for (int const next : particles.lists[from])
    if (particles.distance(from, next) < cutoffs[hops] &&
        sees_contributing(particles, next, cutoffs, hops + 1))
      return true;
  return false;
}

TEST(Dependents, AreTheGhostsThatSeeAContributingParticle) {
  std::vector<std::vector<double>> const cases = {{1.6}, {1.6, 1.6}, {2.4, 1.1}, {2.2, 1.5, 1.0}};
  for (auto const& cutoffs : cases) {
    auto particles = random_particles(120, 6.5, 110, 7);
    particles.list_neighbors(3.0);
    auto const found = with_dependents(particles.view(), cutoffs);
    int ghosts = 0;
    for (int i = 0; i < 120; ++i) {
      EXPECT_EQ(found[i] != 0, sees_contributing(particles, i, cutoffs)) << i;
      ghosts += found[i] != 0 && particles.contributing[i] == 0 ? 1 : 0;
    }
    EXPECT_GT(ghosts, 5);
    EXPECT_LT(ghosts, 110);
  }
}

TEST(Deviations, AreTheRootsOfTheSummedVariances) {
  auto particles = random_particles(2, 3.0, 0, 1);
  particles.contributing = {1, 0};
  Members members;
  members.clear(2, 3, true);
  // The force on the first particle along x, y and z; that on the ghost does not count.
  members.forces = {1.0, 0.0, 2.0, 9.0,  9.0, 9.0,  //
                    2.0, 0.0, 2.0, -9.0, 9.0, 9.0,  //
                    3.0, 3.0, 2.0, 0.0,  0.0, 0.0};
  auto const found = force_deviations(members, particles.view());
  EXPECT_NEAR(found[0], std::sqrt((2.0 + 6.0) / 2.0), 1e-14);
  EXPECT_EQ(found[1], 0.0);
}

}  // namespace
}  // namespace torchml::test::dependents_tests
