// Every kind of the library: gradients are those of the values, for the instruction set that
// TORCHML_DESCRIPTOR_SIMD asks for. The Python tests show that the values are the right ones.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "torchml/descriptor/compute.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml::descriptor {
namespace {

using Kind = SymmetryFunction::Kind;

SpeciesCutoffs const cutoffs({"Si", "C"}, {4.0, 3.5, 3.5, 3.0});

struct Case {
  std::string name;
  Parameters parameters;
};

void PrintTo(Case const& one, std::ostream* out) {
  *out << one.name;
}

std::vector<Case> const cases = {
    {"symmetry_functions",
     SymmetryFunctionsParameters{cutoffs,
                                 {{.kind = Kind::g1},
                                  {.kind = Kind::g2, .eta = 0.3, .shift = 1.0},
                                  {.kind = Kind::g3, .kappa = 1.5},
                                  {.kind = Kind::g4, .eta = 0.05, .zeta = 4.0, .lambda = -1.0},
                                  {.kind = Kind::g4, .eta = 0.01, .zeta = 2.5, .lambda = 1.0},
                                  {.kind = Kind::g5, .eta = 0.02, .zeta = 1.0, .lambda = 1.0}}}},
    {"bispectrum", BispectrumParameters{.cutoffs = cutoffs, .twojmax = 5, .weights = {1.0, 0.6}}},
    {"soap", SoapParameters{.cutoffs = cutoffs, .n_max = 3, .l_max = 3, .cutoff = 4.0}},
    {"xi", XiParameters{.cutoffs = {{"Si", "C"}, 4.0}, .q = 4, .cutoff = 4.0}}};

/// `count` atoms in a chain through space, two of them without neighbours.
struct Structure {
  explicit Structure(int count) {
    std::mt19937 random(3);
    std::uniform_real_distribution<double> place(-0.6, 0.6);
    for (int i = 0; i < count; ++i) {
      bool const far = i >= count - 2;
      positions.insert(positions.end(), {1.4 * i + place(random) + (far ? 20.0 * i : 0.0),
                                         2.0 * (i % 3) + place(random), place(random)});
      species.push_back(i % 2);
      centers.push_back(i);
      for (int j = 0; j < count; ++j)
        if (j != i) neighbors.push_back(j);
      offsets.push_back(static_cast<std::int64_t>(neighbors.size()));
    }
  }

  [[nodiscard]] Atoms view() const { return {positions, species, centers, offsets, neighbors}; }

  std::vector<double> positions;
  std::vector<int> species;
  std::vector<int> centers;
  std::vector<std::int64_t> offsets = {0};
  std::vector<int> neighbors;
};

class DescriptorKinds : public testing::TestWithParam<Case> {};

TEST_P(DescriptorKinds, GradientsAreThoseOfTheValues) {
  auto const descriptor = make_descriptor(GetParam().parameters);
  Structure structure(21);  // not a multiple of any number of lanes
  auto const size = structure.centers.size() * descriptor->width();
  std::vector<double> cotangent(size);
  std::mt19937 random(4);
  for (auto& one : cotangent) one = std::normal_distribution<double>()(random);

  std::vector<double> gradient(structure.positions.size());
  pull_back(*descriptor, structure.view(), cotangent, {.positions = gradient}, 2);
  double largest = 0.0;
  for (double const one : gradient) largest = std::max(largest, std::abs(one));
  ASSERT_GT(largest, 1e-3);

  auto const total = [&] {
    std::vector<double> values(size);
    compute(*descriptor, structure.view(), values, 2);
    double sum = 0.0;
    for (std::size_t k = 0; k < size; ++k) sum += cotangent[k] * values[k];
    return sum;
  };
  double const h = 1e-5;
  for (std::size_t c = 0; c < gradient.size(); c += 4) {
    double const x = structure.positions[c];
    structure.positions[c] = x + h;
    double const plus = total();
    structure.positions[c] = x - h;
    double const minus = total();
    structure.positions[c] = x;
    EXPECT_NEAR(gradient[c], (plus - minus) / (2 * h), 1e-6 * largest) << "component " << c;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DescriptorKinds, testing::ValuesIn(cases),
                         [](auto const& info) { return info.param.name; });

}  // namespace
}  // namespace torchml::descriptor
