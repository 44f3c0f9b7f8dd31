// Particles are found by their positions, as exhaustive search finds them.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "graph/position_index.hpp"
#include "graph/vector.hpp"

namespace torchml::test::position_index_tests {
namespace {

std::vector<double> random_coordinates(int count, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> place(low, high);
  std::vector<double> coordinates(3 * static_cast<std::size_t>(count));
  for (double& x : coordinates) x = place(random);
  return coordinates;
}

std::vector<int> all_of(std::vector<double> const& coordinates) {
  std::vector<int> particles(coordinates.size() / 3);
  std::iota(particles.begin(), particles.end(), 0);
  return particles;
}

TEST(PositionIndex, FindsParticlesWithinTheTolerance) {
  auto const coordinates = random_coordinates(1000, -20.0, 60.0, 5);
  PositionIndex index;
  index.build(coordinates, all_of(coordinates));
  for (int p = 0; p < 1000; ++p) {
    Vector at{coordinates[3 * p], coordinates[3 * p + 1], coordinates[3 * p + 2]};
    EXPECT_EQ(index.find(at, 1e-12), p);
    at[p % 3] += 1e-6;
    EXPECT_EQ(index.find(at, 2e-6), p);
    EXPECT_EQ(index.find(at, 1e-7), -1);
  }
  EXPECT_EQ(index.find({1e9, 0.0, 0.0}, 1e-6), -1);
  EXPECT_EQ(index.find({-1e300, 0.0, 0.0}, 1e-6), -1);
}

TEST(PositionIndex, AgreesWithExhaustiveSearch) {
  auto const coordinates = random_coordinates(60, 0.0, 4.0, 6);
  auto const places = random_coordinates(400, -0.5, 4.5, 7);
  constexpr double tolerance = 0.4;
  PositionIndex index;
  index.build(coordinates, all_of(coordinates));
  auto const is_near = [&](int particle, double const* at) {
    for (int axis = 0; axis < 3; ++axis)
      if (std::abs(coordinates[3 * particle + axis] - at[axis]) > tolerance) return false;
    return true;
  };
  int found = 0;
  for (std::size_t k = 0; k < places.size(); k += 3) {
    double const* const at = &places[k];
    bool any = false;
    for (int particle = 0; particle < 60; ++particle) any = any || is_near(particle, at);
    int const particle = index.find({at[0], at[1], at[2]}, tolerance);
    EXPECT_EQ(particle >= 0, any);
    if (particle >= 0) {
      EXPECT_TRUE(is_near(particle, at));
    }
    found += any ? 1 : 0;
  }
  EXPECT_GT(found, 50);
  EXPECT_LT(found, 350);
}

TEST(PositionIndex, KnowsOnlyTheParticlesThatItWasGiven) {
  std::vector<double> const coordinates = {0, 0, 0, 1, 1, 1, 2, 2, 2};
  PositionIndex index;
  index.build(coordinates, std::vector<int>{2, 0});
  EXPECT_EQ(index.find({2, 2, 2}, 1e-9), 2);
  EXPECT_EQ(index.find({0, 0, 0}, 1e-9), 0);
  EXPECT_EQ(index.find({1, 1, 1}, 1e-9), -1);
  index.build(coordinates, std::vector<int>{1});
  EXPECT_EQ(index.find({1, 1, 1}, 1e-9), 1);
  EXPECT_EQ(index.find({0, 0, 0}, 1e-9), -1);
}

TEST(PositionIndex, MayBeEmptyOrFlat) {
  PositionIndex index;
  index.build({}, {});
  EXPECT_EQ(index.find({0, 0, 0}, 1.0), -1);
  std::vector<double> const line = {0, 0, 0, 0, 0, 5, 0, 0, 1000};
  index.build(line, std::vector<int>{0, 1, 2});
  EXPECT_EQ(index.find({0, 0, 5}, 1e-9), 1);
  EXPECT_EQ(index.find({0, 0, 1000}, 1e-9), 2);
}

}  // namespace
}  // namespace torchml::test::position_index_tests
