// Vectors of doubles with every instruction set that this processor has, and as scalars.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "math_kernel.hpp"
#include "torchml/common/error.hpp"

namespace torchml::simd {
namespace {

struct Build {
  std::string name;
  MathKernel const* kernel;

  friend std::ostream& operator<<(std::ostream& out, Build const& build) {
    return out << build.name;
  }
};

std::vector<Build> builds() {
  std::vector<Build> all = {{"scalar", &scalar::math_kernel}, {"baseline", &baseline::math_kernel}};
#ifdef TORCHML_SIMD_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    all.push_back({"avx2", &avx2::math_kernel});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    all.push_back({"avx512", &avx512::math_kernel});
#endif
  return all;
}

class Simd : public testing::TestWithParam<Build> {
 protected:
  [[nodiscard]] static MathKernel const& kernel() { return *GetParam().kernel; }

  /// function(x) of all numbers, some of which are repeated to fill the last vector.
  template <class Function>
  static std::vector<double> apply(Function const& function, std::vector<double> x) {
    auto const size = x.size();
    while (x.size() % kernel().lanes != 0) x.push_back(x.front());
    std::vector<double> result(x.size());
    for (std::size_t i = 0; i < x.size(); i += kernel().lanes) function(&x[i], &result[i]);
    result.resize(size);
    return result;
  }
};

/// Distance in units in the last place of the exact value.
double ulps(double found, long double exact) {
  auto const nearest = static_cast<double>(exact);
  double const spacing =
      std::nextafter(std::abs(nearest), std::numeric_limits<double>::infinity()) -
      std::abs(nearest);
  return static_cast<double>(std::abs(static_cast<long double>(found) - exact) /
                             static_cast<long double>(spacing));
}

std::vector<double> uniform(double low, double high, int count) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> numbers(low, high);
  std::vector<double> x;
  for (int i = 0; i < count; ++i) x.push_back(numbers(random));
  return x;
}

TEST_P(Simd, ExpIsGoodToOneAndAHalfUnitsInTheLastPlace) {
  std::vector<double> x = {0.0, -0.0, 1.0, -1.0, 709.0, -707.9, 1e-300, -1e-20};
  for (auto const& [low, high] : {std::pair{-1.0, 1.0}, {-50.0, 5.0}, {-708.0, 709.0}})
    for (double const number : uniform(low, high, 20000)) x.push_back(number);
  auto const found = apply(kernel().exp, x);
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, ulps(found[i], std::exp(static_cast<long double>(x[i]))));
  EXPECT_LT(worst, 1.5);
  EXPECT_EQ(found[0], 1.0);
  EXPECT_EQ(found[1], 1.0);
}

TEST_P(Simd, ExpIsZeroFarBelow) {
  for (double const value :
       apply(kernel().exp, {-708.1, -745.0, -1e10, -std::numeric_limits<double>::infinity()}))
    EXPECT_EQ(value, 0.0);
}

TEST_P(Simd, SineAndCosineAreGoodToTwoUnitsInTheLastPlaceOfOne) {
  std::vector<double> x = {0.0, -0.0, 1e-300, 1e-9, -1e-9};
  for (int n = -20; n <= 20; ++n) x.push_back(n * 0.7853981633974483);
  for (double const range : {1.0, 10.0, 1e5})
    for (double const number : uniform(-range, range, 20000)) x.push_back(number);
  std::vector<double> unused(16);
  auto const sine =
      apply([&](double const* v, double* to) { kernel().sincos(v, to, unused.data()); }, x);
  auto const cosine =
      apply([&](double const* v, double* to) { kernel().sincos(v, unused.data(), to); }, x);
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    auto const exact = static_cast<long double>(x[i]);
    worst = std::max(worst, std::abs(static_cast<double>(sine[i] - std::sin(exact))));
    worst = std::max(worst, std::abs(static_cast<double>(cosine[i] - std::cos(exact))));
  }
  EXPECT_LT(worst, 2.0 * std::numeric_limits<double>::epsilon());
  EXPECT_EQ(sine[0], 0.0);
  EXPECT_EQ(cosine[0], 1.0);
  for (std::size_t const i : {2U, 3U, 4U}) EXPECT_DOUBLE_EQ(sine[i], x[i]);
}

TEST_P(Simd, RoundsToTheNearestInteger) {
  std::vector<double> x = {0.0, 0.49, -0.49, 0.51, -0.51, 1e9 + 0.25, -1e9 - 0.75};
  for (double const number : uniform(-1e6, 1e6, 1000)) x.push_back(number);
  auto const found = apply(kernel().round, x);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(found[i], std::nearbyint(x[i])) << x[i];
}

TEST_P(Simd, ArithmeticIsLaneByLane) {
  auto const lanes = kernel().lanes;
  auto const x = uniform(-2.0, 2.0, static_cast<int>(lanes));
  auto const y = uniform(-1.0, 3.0, static_cast<int>(2 * lanes));
  std::vector<double> found(lanes);
  std::vector<double> expected(lanes);
  auto const each = [&](auto const& function) {
    for (std::size_t i = 0; i < lanes; ++i) expected[i] = function(i);
    EXPECT_EQ(found, expected);
  };
  kernel().sqrt_abs(x.data(), found.data());
  each([&](std::size_t i) { return std::sqrt(std::abs(x[i])); });
  // Offset by one lane: nothing has to be aligned.
  kernel().smaller(x.data(), &y[1], found.data());
  each([&](std::size_t i) { return std::min(x[i], y[i + 1]); });
  kernel().larger(x.data(), &y[1], found.data());
  each([&](std::size_t i) { return std::max(x[i], y[i + 1]); });
  kernel().lesser_index(x.data(), &y[1], found.data());
  each([&](std::size_t i) { return x[i] < y[i + 1] ? static_cast<double>(i) : -1.0; });
  std::vector<int> index(lanes);
  for (std::size_t i = 0; i < lanes; ++i) index[i] = static_cast<int>((3 * i + 1) % (2 * lanes));
  kernel().gather(y.data(), index.data(), found.data());
  each([&](std::size_t i) { return y[static_cast<std::size_t>(index[i])]; });
}

TEST_P(Simd, LanesAreSummedAndAsked) {
  std::vector<double> x(kernel().lanes, -1.0);
  EXPECT_EQ(kernel().sum(x.data()), -static_cast<double>(x.size()));
  EXPECT_EQ(kernel().how_many(x.data()), 2);
  x.back() = 1.0;
  EXPECT_EQ(kernel().sum(x.data()), 2.0 - static_cast<double>(x.size()));
  EXPECT_EQ(kernel().how_many(x.data()), x.size() > 1 ? 1 : 0);
  std::fill(x.begin(), x.end(), 1.0);
  EXPECT_EQ(kernel().how_many(x.data()), 0);
}

INSTANTIATE_TEST_SUITE_P(Builds, Simd, testing::ValuesIn(builds()),
                         [](auto const& info) { return info.param.name; });

TEST(SimdDispatch, ScalarsAndVectorsHaveTheirLanes) {
  EXPECT_EQ(scalar::math_kernel.lanes, 1U);
#if defined(TORCHML_SIMD_X86) && !defined(__clang__)  // scalars, see simd.hpp
  EXPECT_EQ(baseline::math_kernel.lanes, 2U);
  EXPECT_EQ(avx2::math_kernel.lanes, 4U);
  EXPECT_EQ(avx512::math_kernel.lanes, 8U);
#endif
}

TEST(SimdDispatch, TheBestBuildIsPicked) {
  auto const all = builds();
  if (std::getenv("TORCHML_DESCRIPTOR_SIMD") != nullptr) GTEST_SKIP() << "another was asked for";
  EXPECT_EQ(&math_kernel(), all.back().kernel);
}

/// What a new process chooses when the environment variable is `name`: 1 + the instruction set.
int choice_for(char const* name) {
  setenv("TORCHML_DESCRIPTOR_SIMD", name, 1);
  try {
    return 1 + static_cast<int>(instruction_set());
  } catch (Error const& error) {
    std::cerr << error.what();
    return 0;
  }
}

TEST(SimdDispatchDeathTest, TheEnvironmentMayAskForLess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  using is = testing::ExitedWithCode;
  auto const all = builds();
  EXPECT_EXIT(std::exit(choice_for("baseline")), is(1), "");
  EXPECT_EXIT(std::exit(choice_for("")), is(static_cast<int>(all.size()) - 1), "");
  EXPECT_EXIT(std::exit(choice_for("avx512")), is(static_cast<int>(all.size()) - 1), "")
      << "more than there is";
  EXPECT_EXIT(std::exit(choice_for("mmx")), is(0), "'mmx', expected baseline, avx2 or avx512");
}

}  // namespace
}  // namespace torchml::simd
