// Densities of neighbours: the kernel, and what other devices do instead.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "operators/density.hpp"
#include "operators/density_kernel.hpp"
#include "operators/edge_order.hpp"
#include "torchml/common/error.hpp"

namespace torchml::test::density_tests {
namespace {

using namespace operators;

constexpr std::int64_t kNodes = 9;

/// 300 random edges, some at, some beyond the cutoff, some within the cores.
DensityInputs random_density(torch::ScalarType type, std::int64_t radial, std::int64_t lmax) {
  torch::manual_seed(4);
  auto const real = torch::kFloat64;
  auto vectors = torch::randn({300, 3}, real);
  vectors[0] = torch::tensor({0.0, 3.0, 0.0}, real);
  auto const edges = torch::randint(0, kNodes - 1, {2, 300}, torch::kInt64);
  auto const core = torch::tensor({0.0, 1.1, 1.3, 1.2, 0.9, 1.4, 0.8, 1.0, 0.0}, real);
  auto const weights = torch::tensor({1.0, 0.0, 0.0, 1.0, 0.3, -0.7}, real);
  return {vectors,
          torch::randint(0, 3, {kNodes}, torch::kInt64),
          edges,
          edge_order(edges, kNodes),
          core.reshape({3, 3}),
          weights.reshape({3, 2}).to(type),
          torch::randn({25, radial}, real).to(type),
          3.0,
          lmax};
}

void expect_close(torch::Tensor const& found, torch::Tensor const& expected, double close) {
  EXPECT_EQ(found.sizes(), expected.sizes());
  EXPECT_EQ(found.scalar_type(), expected.scalar_type());
  EXPECT_LT((found - expected).abs().max().item<double>(),
            close * expected.abs().max().item<double>());
}

TEST(Density, DevicesWithoutKernelGetTheSame) {
  for (auto const type : {torch::kFloat32, torch::kFloat64})
    for (std::int64_t const radial : {1, 8, 11})
      for (std::int64_t lmax = 0; lmax <= kMaxDegree; ++lmax)
        for (auto const nodes : {kNodes, kNodes - 4}) {
          auto const inputs = random_density(type, radial, lmax);
          double const close = type == torch::kFloat32 ? 2e-5 : 1e-12;
          auto const result = density(inputs, nodes);
          expect_close(result, composite_density(inputs, nodes), close);
          expect_close(density_backward(result, inputs), composite_density_backward(result, inputs),
                       close);
          auto const directions = torch::randn_like(inputs.vectors);
          expect_close(density_tangent(directions, inputs, nodes),
                       composite_density_tangent(directions, inputs, nodes), close);
        }
}

TEST(Density, DerivativesOfTheCompositeAreThoseOfAutograd) {
  auto inputs = random_density(torch::kFloat64, 5, 4);
  inputs.vectors.requires_grad_();
  auto const result = composite_density(inputs, kNodes);
  auto const gradient = torch::randn_like(result).requires_grad_();
  auto const first = torch::autograd::grad({result}, {inputs.vectors}, {gradient}, true, true)[0];
  auto const directions = torch::randn_like(first).detach();
  auto const tangent = torch::autograd::grad({first}, {gradient}, {directions})[0];
  torch::NoGradGuard const guard;
  expect_close(composite_density_backward(gradient, inputs), first, 1e-12);
  expect_close(composite_density_tangent(directions, inputs, kNodes), tangent, 1e-12);
}

TEST(Density, NodesWithoutEdgesHaveNone) {
  auto inputs = random_density(torch::kFloat64, 3, 2);
  EXPECT_EQ(density(inputs, kNodes)[kNodes - 1].abs().max().item<double>(), 0.0);
  inputs.vectors = inputs.vectors.narrow(0, 0, 0);
  inputs.edge_index = inputs.edge_index.narrow(1, 0, 0);
  inputs.order = edge_order(inputs.edge_index, kNodes);
  auto const result = density(inputs, kNodes);
  EXPECT_EQ(result.abs().max().item<double>(), 0.0);
  EXPECT_EQ(density_backward(result, inputs).numel(), 0);
}

TEST(Density, WhatDoesNotFitIsRefused) {
  auto const inputs = random_density(torch::kFloat64, 3, 2);
  EXPECT_THROW(density(inputs, kNodes + 1), Error);
  EXPECT_THROW(density_backward(torch::zeros({kNodes, 4, 6}, torch::kFloat64), inputs), Error);
  EXPECT_THROW(density_tangent(inputs.vectors.narrow(0, 0, 7), inputs, kNodes), Error);
}

}  // namespace
}  // namespace torchml::test::density_tests
