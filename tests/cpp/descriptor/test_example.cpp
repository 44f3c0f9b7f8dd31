// The worked example of docs/descriptors.md works as on that page.
#include <gtest/gtest.h>

#include <vector>

#include "coordination.hpp"
#include "torchml/descriptor/compute.hpp"

namespace torchml::descriptor::test {
namespace {

TEST(DescriptorExample, ValuesAndForces) {
  auto const descriptor = example::make_descriptor({{{"Si", "C"}, {4.0, 3.0, 3.0, 2.0}}});
  std::vector<double> positions = {0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.5, 0.0};
  std::vector<int> const species = {0, 0, 1};
  std::vector<int> const centers = {0};
  std::vector<std::int64_t> const offsets = {0, 2};
  std::vector<int> const neighbors = {1, 2};
  Atoms const atoms{positions, species, centers, offsets, neighbors};

  std::vector<double> values(descriptor->width());
  compute(*descriptor, atoms, values);
  EXPECT_DOUBLE_EQ(values[0], 0.75 * 0.75);  // Si at half the cutoff of Si-Si
  EXPECT_DOUBLE_EQ(values[1], 0.75 * 0.75);  // C at half the cutoff of Si-C

  std::vector<double> const cotangent = {1.0, -2.0};
  std::vector<double> gradient(9, 0.0);
  Virial virial{};
  pull_back(*descriptor, atoms, cotangent, {gradient, &virial});
  auto const energy = [&] {
    compute(*descriptor, atoms, values);
    return cotangent[0] * values[0] + cotangent[1] * values[1];
  };
  for (std::size_t i = 0; i < positions.size(); ++i) {
    double const h = 1e-5, start = positions[i];
    positions[i] = start + h;
    double const ahead = energy();
    positions[i] = start - h;
    EXPECT_NEAR(gradient[i], (ahead - energy()) / (2 * h), 1e-9);
    positions[i] = start;
  }
  EXPECT_DOUBLE_EQ(virial[0], 2.0 * gradient[3]);
}

}  // namespace
}  // namespace torchml::descriptor::test
