// Cluster expansions in one pass: the same as the operators for other devices, for any threads.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "operators/cluster.hpp"
#include "operators/cluster_terms.hpp"
#include "operators/edge_order.hpp"
#include "operators/operators.hpp"
#include "support.hpp"

namespace torchml::test::cluster_tests {
namespace {

using operators::ClusterInputs;

constexpr std::int64_t kNodes = 75;
constexpr std::int64_t kSpecies = 2;
constexpr std::int64_t kOutputs = 3;
constexpr std::int64_t kChannels = 19;  // no multiple of a vector
constexpr std::int64_t kRadial = 5;
constexpr std::int64_t kHighest = 2;

ClusterInputs cluster_of(std::int64_t edges, torch::ScalarType type) {
  torch::manual_seed(5);
  auto const exact = torch::TensorOptions(torch::kFloat64);
  auto const random = [&](at::IntArrayRef sizes, double scale = 1.0) {
    return (torch::randn(sizes, exact) * scale).to(type);
  };
  auto const index = torch::randint(0, kNodes - 1, {2, edges}, torch::kInt64);
  auto const directions = torch::randn({edges, 3}, exact);
  auto const lengths = 0.2 + 3.0 * torch::rand({edges, 1}, exact);
  std::int64_t const columns = kSpecies * kRadial, features = kOutputs * kChannels, hidden = 7;
  auto terms = torch::randint(-1, (kHighest + 1) * (kHighest + 1), {40, 4}, torch::kInt32);
  terms.select(1, 0).copy_(torch::randint(0, kOutputs, {40}, torch::kInt32));
  return {directions / directions.norm(2, 1, true) * lengths,
          torch::randint(0, kSpecies, {kNodes}, torch::kInt64),
          index,
          operators::edge_order(index, kNodes),
          0.5 + torch::rand({kSpecies, kSpecies}, exact),
          torch::eye(kSpecies, exact).to(type),
          random({13, kRadial}, 0.5),
          random({kHighest + 1, columns, kChannels}, 0.3),
          random({kChannels}, 0.3),
          random({kSpecies, 40, kChannels}, 0.3),
          terms,
          random({features}),
          {random({hidden, features}, 0.1), random({hidden}), random({hidden, hidden}, 0.3),
           random({hidden}), random({1, hidden}), random({1})},
          random({kSpecies, columns}, 0.2),
          torch::randn({kSpecies}, exact),
          torch::randn({kSpecies}, exact),
          kOutputs,
          3.0,
          kHighest};
}

void expect_close(torch::Tensor const& found, torch::Tensor const& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  ASSERT_EQ(found.scalar_type(), torch::kFloat64);
  if (found.numel() == 0) return;
  EXPECT_LE((found - expected).abs().max().item<double>(),
            tolerance * (1.0 + expected.abs().max().item<double>()));
}

class Clusters : public testing::TestWithParam<torch::ScalarType> {
 protected:
  void SetUp() override { register_operators(); }
};

TEST_P(Clusters, AreThoseOfTheOperatorsForOtherDevices) {
  double const tolerance = GetParam() == torch::kFloat64 ? 1e-12 : 1e-5;
  for (std::int64_t const edges : {0, 1, 500}) {
    for (std::int64_t const nodes : {kNodes, std::int64_t{20}}) {
      auto inputs = cluster_of(edges, GetParam());
      auto const [energies, slopes] = operators::cluster_energies_with_slopes(inputs, nodes);
      EXPECT_TRUE(energies.equal(operators::cluster_energies(inputs, nodes)));
      inputs.vectors.requires_grad_();
      auto const expected = operators::composite_cluster_energies(inputs, nodes);
      expect_close(energies, expected.detach(), tolerance);
      if (edges == 0) continue;
      auto const gradient = torch::autograd::grad({expected.sum()}, {inputs.vectors})[0];
      expect_close(slopes, gradient, 10 * tolerance);
    }
  }
}

TEST_P(Clusters, OfSeveralReadoutsAreThoseOfTheOperatorsForOtherDevices) {
  double const tolerance = GetParam() == torch::kFloat64 ? 1e-12 : 1e-5;
  auto inputs = cluster_of(500, GetParam());
  auto const several = [](torch::Tensor const& one) { return torch::stack({one, 2 * one, -one}); };
  for (auto* tensor : {&inputs.linear, &inputs.offset, &inputs.vacuum}) *tensor = several(*tensor);
  for (auto* tensor : {&inputs.layers[4], &inputs.layers[5]})
    *tensor = several(*tensor).flatten(0, 1);
  auto const [energies, slopes] = operators::cluster_energies_with_slopes(inputs, kNodes);
  inputs.vectors.requires_grad_();
  auto const expected = operators::composite_cluster_energies(inputs, kNodes);
  expect_close(energies, expected.detach(), tolerance);
  auto const factors = torch::randn_like(energies);
  auto const gradient = torch::autograd::grad({expected}, {inputs.vectors}, {factors})[0];
  expect_close(operators::cluster_energies_backward(factors, slopes, inputs.edge_index), gradient,
               10 * tolerance);
}

TEST_P(Clusters, AreTheSameForAnyNumberOfThreads) {
  auto const inputs = cluster_of(3000, GetParam());
  auto const before = at::get_num_threads();
  at::set_num_threads(1);
  auto const [energies, slopes] = operators::cluster_energies_with_slopes(inputs, kNodes);
  for (int const threads : {2, 4}) {
    at::set_num_threads(threads);
    auto const [others, other_slopes] = operators::cluster_energies_with_slopes(inputs, kNodes);
    EXPECT_TRUE(energies.equal(others));
    EXPECT_TRUE(slopes.equal(other_slopes));
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Types, Clusters, testing::Values(torch::kFloat64, torch::kFloat32));

TEST(SharedTerms, HaveOneMonomialForTheSameFactorsInAnyOrder) {
  // Of two outputs: x0 x1, x1 x0 (the same), x2, and 1.
  std::vector<std::int32_t> const terms = {0, 0, 1, 1, 1, 0, 0, 2, -1, 1, -1, -1};
  auto const shared = operators::shared_terms(terms.data(), 4, 2, 2);
  EXPECT_EQ(shared->monomials, 3);
  EXPECT_EQ(shared->places[0] / 2, shared->places[1] / 2);
  EXPECT_EQ(shared->places[0] % 2, 0);
  EXPECT_EQ(shared->places[1] % 2, 1);
  EXPECT_EQ(shared.get(), operators::shared_terms(terms.data(), 4, 2, 2).get());
  EXPECT_THROW(operators::shared_terms(terms.data(), 4, 2, 1), Error);
}

}  // namespace
}  // namespace torchml::test::cluster_tests
