// The library without any of its kinds: a descriptor of a few lines is handed to it. What is shown
// here, kinds can rely on and need not test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "torchml/common/error.hpp"
#include "torchml/descriptor/compute.hpp"

namespace torchml::descriptor {
namespace {

/// Two numbers: sum 1/r^2 and sum (1 + species) r^2, all that a kind has to implement.
class InverseSquares final : public Descriptor {
 public:
  explicit InverseSquares(SpeciesCutoffs cutoffs) : cutoffs_(std::move(cutoffs)) {}

  [[nodiscard]] std::size_t width() const override { return 2; }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return cutoffs_; }

  void values(std::span<Environment const> centers, Scratch&, double* values) const override {
    for (auto const& center : centers) {
      values[0] = values[1] = 0.0;
      for (std::size_t k = 0; k < center.size; ++k) {
        double const square = center.r[k] * center.r[k];
        values[0] += 1.0 / square;
        values[1] += (1.0 + center.species[k]) * square;
      }
      values += width();
    }
  }

  void gradient(std::span<Environment const> centers, Scratch&, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    for (std::size_t c = 0; c < centers.size(); ++c, cotangent += width()) {
      auto const& center = centers[c];
      for (std::size_t k = 0; k < center.size; ++k) {
        double const square = center.r[k] * center.r[k];
        double const factor = -2.0 * cotangent[0] / (square * square) +
                              2.0 * cotangent[1] * (1.0 + center.species[k]);
        gradients[c].x[k] = factor * center.x[k];
        gradients[c].y[k] = factor * center.y[k];
        gradients[c].z[k] = factor * center.z[k];
      }
    }
  }

 private:
  SpeciesCutoffs cutoffs_;
};

InverseSquares const two_species(SpeciesCutoffs({"Si", "C"}, {5.0, 4.0, 4.0, 3.0}));

/// Atoms with lists that reach beyond all cutoffs.
struct Structure {
  std::vector<double> positions;
  std::vector<int> species;
  std::vector<int> centers;
  std::vector<std::int64_t> offsets = {0};
  std::vector<int> neighbors;

  [[nodiscard]] Atoms atoms() const { return {positions, species, centers, offsets, neighbors}; }

  /// Appends a centre whose list holds all other atoms.
  void add_center(int center) {
    centers.push_back(center);
    for (int j = 0; j < static_cast<int>(species.size()); ++j)
      if (j != center) neighbors.push_back(j);
    offsets.push_back(static_cast<std::int64_t>(neighbors.size()));
  }
};

Structure random_structure(int atoms, int centers) {
  Structure structure;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> noise(-0.3, 0.3);
  int const side = static_cast<int>(std::ceil(std::cbrt(atoms)));
  for (int i = 0; i < atoms; ++i) {
    for (int const step : {i % side, i / side % side, i / side / side})
      structure.positions.push_back(2.0 * step + noise(random));
    structure.species.push_back(i % 3 == 0 ? 1 : 0);
  }
  for (int i = 0; i < centers; ++i) structure.add_center(i);
  return structure;
}

/// The same lists as vectors.
struct Vectors {
  explicit Vectors(Structure const& from) : offsets(from.offsets) {
    for (std::size_t c = 0; c < from.centers.size(); ++c) {
      auto const center = static_cast<std::size_t>(from.centers[c]);
      center_species.push_back(from.species[center]);
      for (auto e = from.offsets[c]; e < from.offsets[c + 1]; ++e) {
        auto const j = static_cast<std::size_t>(from.neighbors[static_cast<std::size_t>(e)]);
        species.push_back(from.species[j]);
        for (std::size_t axis = 0; axis < 3; ++axis)
          vectors.push_back(from.positions[3 * j + axis] - from.positions[3 * center + axis]);
      }
    }
  }

  [[nodiscard]] Edges edges() const { return {center_species, offsets, species, vectors}; }

  std::vector<int> center_species;
  std::vector<std::int64_t> offsets;
  std::vector<int> species;
  std::vector<double> vectors;
};

std::vector<double> values_of(Structure const& structure, int threads = 1,
                              Descriptor const& descriptor = two_species) {
  std::vector<double> values(structure.centers.size() * descriptor.width());
  compute(descriptor, structure.atoms(), values, threads);
  return values;
}

std::vector<double> some_cotangent(std::size_t size) {
  std::vector<double> cotangent(size);
  for (std::size_t i = 0; i < size; ++i) cotangent[i] = std::sin(1.0 + static_cast<double>(i));
  return cotangent;
}

struct Gradient {
  std::vector<double> positions;
  Virial virial{};
  std::vector<double> particle_virials;
};

Gradient gradient_of(Structure const& structure, int threads = 1) {
  Gradient gradient{std::vector<double>(structure.positions.size()),
                    {},
                    std::vector<double>(2 * structure.positions.size())};
  pull_back(two_species, structure.atoms(), some_cotangent(2 * structure.centers.size()),
            {gradient.positions, &gradient.virial, gradient.particle_virials}, threads);
  return gradient;
}

/// The message of the Error that `call` throws.
template <class Call>
std::string error_of(Call const& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_ERROR(call, part)                                 \
  do {                                                           \
    auto const message = error_of([&] { (void)(call); });        \
    EXPECT_NE(message.find(part), std::string::npos) << message; \
  } while (false)

TEST(DescriptorCompute, ValuesAreThoseOfTheFormula) {
  // Si at the origin; Si 2 Å and C 3 Å away; 3.6 Å between those two.
  Structure structure{{0, 0, 0, 2, 0, 0, 0, 3, 0}, {0, 0, 1}, {}, {0}, {}};
  for (int const center : {0, 1, 2}) structure.add_center(center);
  auto const values = values_of(structure);
  std::vector<double> const expected = {1.0 / 4 + 1.0 / 9, 4.0 + 2 * 9.0,      1.0 / 4 + 1.0 / 13,
                                        4.0 + 2 * 13.0,    1.0 / 9 + 1.0 / 13, 9.0 + 13.0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-13) << i;
}

TEST(DescriptorCompute, EveryPairOfSpeciesHasItsCutoff) {
  auto const sees = [](int center, int neighbor, double distance) {
    Structure structure{{0, 0, 0, 0, 0, distance}, {center, neighbor}, {}, {0}, {}};
    structure.add_center(0);
    return values_of(structure)[0] > 0.0;
  };
  for (int const a : {0, 1})
    for (int const b : {0, 1}) {
      double const cutoff = two_species.cutoffs()(a, b);
      EXPECT_TRUE(sees(a, b, std::nextafter(cutoff, 0.0)));
      EXPECT_FALSE(sees(a, b, cutoff)) << "an atom exactly at the cutoff is outside";
      EXPECT_FALSE(sees(a, b, 10.0));
    }
}

TEST(DescriptorCompute, CentersComeInAnyOrderAndNumber) {
  auto const all = values_of(random_structure(60, 60));
  auto some = random_structure(60, 0);
  std::vector<int> const chosen = {41, 3, 59, 3, 0};  // one of them twice
  for (int const center : chosen) some.add_center(center);
  auto const values = values_of(some);
  for (std::size_t c = 0; c < chosen.size(); ++c)
    for (std::size_t d = 0; d < 2; ++d)
      EXPECT_EQ(values[2 * c + d], all[2 * static_cast<std::size_t>(chosen[c]) + d]);
  EXPECT_TRUE(values_of(random_structure(5, 0)).empty());
}

TEST(DescriptorCompute, GradientIsThatOfTheValues) {
  auto structure = random_structure(20, 7);
  auto const gradient = gradient_of(structure);
  auto const cotangent = some_cotangent(14);
  auto const energy = [&] {
    auto const values = values_of(structure);
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += cotangent[i] * values[i];
    return sum;
  };
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < structure.positions.size(); ++i) {
    double const at = structure.positions[i];
    structure.positions[i] = at + step;
    double const above = energy();
    structure.positions[i] = at - step;
    double const below = energy();
    structure.positions[i] = at;
    EXPECT_NEAR(gradient.positions[i], (above - below) / (2.0 * step), 1e-6) << i;
  }
}

TEST(DescriptorCompute, VirialsAreThoseOfTheGradient) {
  auto const structure = random_structure(40, 23);
  auto const gradient = gradient_of(structure);
  Virial expected{};
  Virial summed{};
  double force[3] = {};
  for (std::size_t a = 0; a < structure.species.size(); ++a) {
    double const* const x = &structure.positions[3 * a];
    double const* const g = &gradient.positions[3 * a];
    std::size_t const pairs[6][2] = {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}};
    for (std::size_t c = 0; c < 6; ++c) {
      expected[c] += x[pairs[c][0]] * g[pairs[c][1]];
      summed[c] += gradient.particle_virials[6 * a + c];
    }
    for (std::size_t axis = 0; axis < 3; ++axis) force[axis] += g[axis];
  }
  for (std::size_t c = 0; c < 6; ++c) {
    EXPECT_NEAR(gradient.virial[c], expected[c], 1e-9) << c;
    EXPECT_NEAR(gradient.virial[c], summed[c], 1e-9) << c;
    EXPECT_GT(std::abs(gradient.virial[c]), 1e-3) << "nothing is compared";
  }
  for (double const component : force) EXPECT_NEAR(component, 0.0, 1e-9);
}

TEST(DescriptorCompute, ShareOfAPairIsHalfOfItsVirialAtEitherEnd) {
  Structure structure{{0, 0, 0, 1, 2, 2}, {0, 0}, {}, {0}, {}};
  structure.add_center(0);
  auto const gradient = gradient_of(structure);
  for (std::size_t c = 0; c < 6; ++c) {
    EXPECT_EQ(gradient.particle_virials[c], gradient.particle_virials[6 + c]);
    EXPECT_DOUBLE_EQ(2.0 * gradient.particle_virials[c], gradient.virial[c]);
  }
}

TEST(DescriptorCompute, GradientsAreAddedAndOnlyThoseAskedFor) {
  auto const structure = random_structure(20, 20);
  auto const cotangent = some_cotangent(40);
  auto const once = gradient_of(structure);
  std::vector<double> positions(60, 1000.0);
  pull_back(two_species, structure.atoms(), cotangent, {positions}, 1);
  for (std::size_t i = 0; i < positions.size(); ++i)
    EXPECT_NEAR(positions[i], 1000.0 + once.positions[i], 1e-9);
  Virial virial = {1, 2, 3, 4, 5, 6};
  pull_back(two_species, structure.atoms(), cotangent, {.virial = &virial}, 1);
  for (std::size_t c = 0; c < 6; ++c)
    EXPECT_NEAR(virial[c], static_cast<double>(c + 1) + once.virial[c], 1e-9);
}

TEST(DescriptorCompute, EdgesSayTheSameAsAtoms) {
  auto const structure = random_structure(50, 33);
  Vectors const vectors(structure);
  std::vector<double> values(66);
  compute(two_species, vectors.edges(), values, 1);
  EXPECT_EQ(values, values_of(structure));

  std::vector<double> gradient(vectors.vectors.size(), 5.0);  // is overwritten
  pull_back(two_species, vectors.edges(), some_cotangent(66), gradient, 1);
  std::vector<double> folded(structure.positions.size());
  for (std::size_t c = 0; c < structure.centers.size(); ++c)
    for (auto e = structure.offsets[c]; e < structure.offsets[c + 1]; ++e)
      for (std::size_t axis = 0; axis < 3; ++axis) {
        auto const entry = static_cast<std::size_t>(e);
        auto const j = static_cast<std::size_t>(structure.neighbors[entry]);
        folded[3 * j + axis] += gradient[3 * entry + axis];
        folded[3 * static_cast<std::size_t>(structure.centers[c]) + axis] -=
            gradient[3 * entry + axis];
      }
  auto const expected = gradient_of(structure).positions;
  for (std::size_t i = 0; i < folded.size(); ++i) EXPECT_NEAR(folded[i], expected[i], 1e-10);
}

TEST(DescriptorCompute, JacobianHoldsTheGradientsOfAllValues) {
  auto const structure = random_structure(30, 19);
  Vectors const vectors(structure);
  std::vector<double> all(vectors.vectors.size() * 2, 7.0);  // is overwritten
  jacobian(two_species, vectors.edges(), all, 1);
  for (std::size_t d = 0; d < 2; ++d) {
    std::vector<double> unit(2 * structure.centers.size());
    for (std::size_t c = 0; c < structure.centers.size(); ++c) unit[2 * c + d] = 1.0;
    std::vector<double> gradient(vectors.vectors.size());
    pull_back(two_species, vectors.edges(), unit, gradient, 1);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      EXPECT_EQ(all[3 * (i / 3 * 2 + d) + i % 3], gradient[i]);
  }
}

TEST(DescriptorCompute, ThreadsDoNotChangeABit) {
  auto const structure = random_structure(150, 131);
  auto const values = values_of(structure);
  auto const gradient = gradient_of(structure);
  for (int const threads : {0, 2, 3, 8}) {
    EXPECT_EQ(values_of(structure, threads), values) << threads;
    auto const again = gradient_of(structure, threads);
    EXPECT_EQ(again.positions, gradient.positions) << threads;
    EXPECT_EQ(again.virial, gradient.virial) << threads;
    EXPECT_EQ(again.particle_virials, gradient.particle_virials) << threads;
  }
}

TEST(DescriptorCompute, AnyNumberOfNeighbors) {
  auto structure = random_structure(1001, 0);
  for (double& x : structure.positions) x *= 0.1;
  structure.add_center(500);
  auto const gradient = gradient_of(structure);
  EXPECT_GT(values_of(structure)[0], 100.0);
  EXPECT_TRUE(std::all_of(gradient.positions.begin(), gradient.positions.end(),
                          [](double g) { return std::isfinite(g) && g != 0.0; }));
}

TEST(DescriptorCompute, CentersWithoutNeighborsAreNormal) {
  Structure structure{{0, 0, 0, 30, 0, 0}, {0, 1}, {0, 1}, {0, 0, 1}, {0}};
  for (double const value : values_of(structure)) EXPECT_EQ(value, 0.0);
  for (double const g : gradient_of(structure).positions) EXPECT_EQ(g, 0.0);
}

/// What the library promises to kinds about environments.
class Inspector final : public Descriptor {
 public:
  [[nodiscard]] std::size_t width() const override { return 1; }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return two_species.cutoffs(); }

  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    EXPECT_LE(centers.size(), block);
    double* const mine = scratch.doubles(1000);
    for (std::size_t i = 0; i < 1000; ++i) mine[i] = 0.0;
    for (auto const& center : centers) {
      for (std::size_t k = 0; k < center.size; ++k) {
        EXPECT_GT(center.r[k], 0.0);
        EXPECT_LT(center.r[k], cutoffs()(center.center_species, center.species[k]));
        EXPECT_DOUBLE_EQ(std::hypot(center.x[k], center.y[k], center.z[k]), center.r[k]);
      }
      for (std::size_t k = center.size; k % padding != 0; ++k) {
        EXPECT_GT(center.r[k], cutoffs().largest());
        EXPECT_DOUBLE_EQ(std::hypot(center.x[k], center.y[k], center.z[k]), center.r[k]);
        EXPECT_EQ(center.species[k], 0);
      }
      *values++ = static_cast<double>(center.size);
    }
  }

  void gradient(std::span<Environment const> centers, Scratch&, double const*,
                std::span<EnvironmentGradient const> gradients) const override {
    ASSERT_EQ(gradients.size(), centers.size());
    for (std::size_t c = 0; c < centers.size(); ++c)  // padding may be written, too
      for (std::size_t k = 0; k < (centers[c].size + padding - 1) / padding * padding; ++k)
        gradients[c].x[k] = gradients[c].y[k] = gradients[c].z[k] = 1.0;
  }
};

TEST(DescriptorCompute, KindsSeeNeighborsInsideTheirCutoffsAndPadding) {
  auto const structure = random_structure(45, 37);
  auto const sizes = values_of(structure, 1, Inspector());
  EXPECT_LT(*std::max_element(sizes.begin(), sizes.end()), 44.0) << "lists reach further";
  std::vector<double> positions(structure.positions.size());
  pull_back(Inspector(), structure.atoms(), std::vector<double>(37), {positions}, 1);
  double total = 0.0;
  for (double const size : sizes) total += size;
  double pulled = 0.0;  // each edge gives 1 to its neighbour and -1 to its centre
  for (std::size_t a = 37; a < 45; ++a) pulled += positions[3 * a];
  EXPECT_GT(pulled, 0.0);
  EXPECT_LT(pulled, total);
}

TEST(DescriptorCompute, BadListsAreNamed) {
  auto const good = random_structure(9, 4);
  std::vector<double> values(8);
  auto const run = [&](Structure const& bad) { compute(two_species, bad.atoms(), values, 1); };

  auto bad = good;
  bad.neighbors[3] = 9;
  EXPECT_ERROR(run(bad), "the neighbour list of atom 0 names atom 9, expected 0 to 8");
  bad.neighbors[3] = -1;
  EXPECT_ERROR(run(bad), "names atom -1");
  bad = good;
  bad.centers[2] = 9;
  EXPECT_ERROR(run(bad), "atom 9 is a centre");
  bad = good;
  bad.species[5] = 2;
  EXPECT_ERROR(run(bad), "atom 5 has species code 2, expected 0 to 1");
  bad = good;
  bad.offsets[1] = bad.offsets[2] + 1;
  EXPECT_ERROR(run(bad), "offsets");
  bad = good;
  bad.offsets.pop_back();
  EXPECT_ERROR(run(bad), "expected 5 ascending numbers from 0 to 32");
  bad = good;
  bad.offsets[0] = -1;
  EXPECT_ERROR(run(bad), "offsets");
  bad = good;
  bad.neighbors.pop_back();
  EXPECT_ERROR(run(bad), "offsets");
  bad = good;
  bad.positions.pop_back();
  EXPECT_ERROR(run(bad), "the positions hold 26 numbers, expected 27");
}

TEST(DescriptorCompute, BadPositionsAreNamed) {
  auto bad = random_structure(9, 4);
  std::copy_n(bad.positions.begin(), 3, bad.positions.begin() + 3);
  EXPECT_ERROR(values_of(bad), "entry 0 of the neighbour lists has the distance 0.0");
  EXPECT_ERROR(gradient_of(bad), "entry 0");
  bad = random_structure(9, 4);
  bad.positions[3 * 7 + 1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(values_of(bad), "expected a positive number");
  EXPECT_ERROR(gradient_of(bad), "expected a positive number");
}

TEST(DescriptorCompute, WrongSizesAreNamed) {
  auto const structure = random_structure(9, 4);
  auto const atoms = structure.atoms();
  Vectors const vectors(structure);
  auto const edges = vectors.edges();
  auto const n = vectors.species.size();
  std::vector<double> const cotangent(8);
  std::vector<double> wrong(7);
  EXPECT_ERROR(compute(two_species, atoms, wrong), "the values hold 7 numbers, expected 8");
  EXPECT_ERROR(compute(two_species, edges, wrong), "the values hold 7 numbers, expected 8");
  EXPECT_ERROR(pull_back(two_species, atoms, wrong, AtomGradient{}), "the cotangents hold 7");
  EXPECT_ERROR(pull_back(two_species, atoms, cotangent, {wrong}), "expected 27");
  EXPECT_ERROR(pull_back(two_species, atoms, cotangent, {.particle_virials = wrong}),
               "expected 54");
  EXPECT_ERROR(pull_back(two_species, edges, wrong, wrong), "the cotangents hold 7");
  EXPECT_ERROR(pull_back(two_species, edges, cotangent, wrong),
               "expected " + std::to_string(3 * n));
  EXPECT_ERROR(jacobian(two_species, edges, wrong), "expected " + std::to_string(6 * n));
}

TEST(DescriptorCompute, TheFirstErrorIsReportedWhateverTheThreads) {
  auto bad = random_structure(150, 150);
  for (std::size_t const center : {140U, 75U, 20U})
    bad.neighbors[static_cast<std::size_t>(bad.offsets[center])] = 1000 + static_cast<int>(center);
  for (int const threads : {1, 2, 4}) {
    EXPECT_ERROR(values_of(bad, threads), "names atom 1020,");
    EXPECT_ERROR(gradient_of(bad, threads), "names atom 1020,");
  }
}

TEST(DescriptorScratch, ArraysAreAlignedAndDoNotOverlap) {
  Scratch scratch;
  std::vector<std::pair<std::uintptr_t, std::size_t>> taken;
  for (std::size_t count : {1U, 7U, 100000U, 3U, 5000U}) {
    auto* const doubles = scratch.doubles(count);
    std::fill_n(doubles, count, 1.0);
    taken.emplace_back(reinterpret_cast<std::uintptr_t>(doubles), count * sizeof(double));
    auto* const ints = scratch.ints(count);
    std::fill_n(ints, count, 1);
    taken.emplace_back(reinterpret_cast<std::uintptr_t>(ints), count * sizeof(int));
  }
  std::sort(taken.begin(), taken.end());
  for (std::size_t i = 0; i < taken.size(); ++i) {
    EXPECT_EQ(taken[i].first % 64, 0U);
    if (i > 0) {
      EXPECT_GE(taken[i].first, taken[i - 1].first + taken[i - 1].second);
    }
  }
}

/// Remembers which memory it was given.
class Rememberer final : public Descriptor {
 public:
  [[nodiscard]] std::size_t width() const override { return 1; }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return two_species.cutoffs(); }
  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    given.insert(scratch.doubles(100 * centers.front().size));
    std::fill_n(values, centers.size(), 0.0);
  }
  void gradient(std::span<Environment const>, Scratch&, double const*,
                std::span<EnvironmentGradient const>) const override {}

  mutable std::set<double*> given;
};

// With AddressSanitizer every array is an allocation of its own (scratch.cpp).
#ifdef __SANITIZE_ADDRESS__
constexpr bool memory_is_kept = false;
#else
constexpr bool memory_is_kept = true;
#endif

TEST(DescriptorScratch, MemoryDoesNotGrowWithTheAtoms) {
  if (!memory_is_kept) GTEST_SKIP();
  Rememberer const descriptor;
  values_of(random_structure(400, 400), 1, descriptor);
  EXPECT_LE(descriptor.given.size(), 2U) << "25 blocks";
}

TEST(DescriptorScratch, MemoryIsUsedAgain) {
  if (!memory_is_kept) GTEST_SKIP();
  Scratch scratch;
  auto const round = [&scratch] {
    scratch.reset();
    std::vector<double*> arrays;
    for (std::size_t count : {40000U, 10U, 90000U}) arrays.push_back(scratch.doubles(count));
    return arrays;
  };
  round();
  auto const second = round();  // by now all of it lies in one piece
  for (int i = 0; i < 5; ++i) EXPECT_EQ(round(), second);
}

}  // namespace
}  // namespace torchml::descriptor
