// Polynomials of atomic tensors: the kernel, what other devices do instead, and plans of terms.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "operators/product_plan.hpp"
#include "operators/products.hpp"
#include "torchml/common/error.hpp"

namespace torchml::test::products_tests {
namespace {

using namespace operators;

constexpr std::int64_t kOutputs = 3;

/// 40 random terms of degrees 1 to 4.
ProductInputs random_inputs(torch::ScalarType type, std::int64_t atoms, std::int64_t channels) {
  torch::manual_seed(1);
  auto const factors = torch::randint(-1, 6, {40, 4}, torch::kInt32);
  auto const outputs = torch::randint(0, kOutputs, {40, 1}, torch::kInt32);
  return {torch::randn({atoms, 6, channels}, torch::kFloat64).to(type),
          torch::randint(0, 2, {atoms}, torch::kInt64),
          torch::randn({2, 40, channels}, torch::kFloat64).to(type),
          torch::cat({outputs, factors}, 1)};
}

/// What autograd makes of the composite: derivatives by x and coefficients.
torch::autograd::variable_list differentiate(torch::Tensor const& result, ProductInputs const& from,
                                             torch::Tensor const& cotangent, bool again = false) {
  return torch::autograd::grad({result}, {from.x, from.coefficients}, {cotangent}, true, again);
}

TEST(Products, DevicesWithoutKernelGetTheSame) {
  for (auto const type : {torch::kFloat32, torch::kFloat64}) {
    auto const inputs = random_inputs(type, 37, 19);
    double const close = type == torch::kFloat32 ? 1e-4 : 1e-12;
    auto const expected = composite_products(inputs, kOutputs);
    auto const found = products(inputs, kOutputs);
    EXPECT_EQ(found.sizes(), (std::vector<std::int64_t>{37, kOutputs, 19}));
    EXPECT_TRUE(found.allclose(expected, close, close));
  }
}

TEST(Products, DerivativesAreThoseOfTheComposite) {
  auto inputs = random_inputs(torch::kFloat64, 300, 9);
  inputs.x.requires_grad_();
  inputs.coefficients.requires_grad_();
  auto const gradient = torch::randn({300, kOutputs, 9}, torch::kFloat64).requires_grad_();
  auto const direction = torch::randn_like(inputs.x).detach();
  auto const first = differentiate(composite_products(inputs, kOutputs), inputs, gradient, true);
  auto const second = torch::autograd::grad({(first[0] * direction).sum()},
                                            {gradient, inputs.x, inputs.coefficients});
  torch::NoGradGuard const guard;
  auto const [to_x, to_coefficients] = products_backward(gradient, inputs, true);
  EXPECT_TRUE(to_x.allclose(first[0], 1e-11, 1e-11));
  EXPECT_TRUE(to_coefficients.allclose(first[1], 1e-11, 1e-11));
  auto const [by_gradient, by_x, by_coefficients] =
      products_second(direction, gradient, inputs, true);
  EXPECT_TRUE(by_gradient.allclose(second[0], 1e-11, 1e-11));
  EXPECT_TRUE(by_x.allclose(second[1], 1e-11, 1e-11));
  EXPECT_TRUE(by_coefficients.allclose(second[2], 1e-11, 1e-11));
  EXPECT_EQ(std::get<1>(products_backward(gradient, inputs, false)).numel(), 0);
}

TEST(Products, ASinglePolynomialComesWithItsSlopes) {
  auto inputs = random_inputs(torch::kFloat64, 10, 4);
  inputs.terms.select(1, 0).zero_();
  auto const [values, slopes] = products_with_slopes(inputs);
  EXPECT_TRUE(values.allclose(composite_products(inputs, 1), 1e-12, 1e-12));
  auto const [to_x, none] = products_backward(torch::ones_like(values), inputs, false);
  EXPECT_TRUE(slopes.equal(to_x));
}

TEST(ProductPlan, PutsCommonFactorsBeforeBrackets) {
  // x0 x1 x2 + x0 x1 x3 + x0 + x1 x1 = x0 + x1 (x1 + x0 (x2 + x3))
  std::vector<std::int32_t> const terms = {0, 0, 1, 2, 0, 0, 1, 3, 0, 0, -1, -1, 0, 1, 1, -1};
  auto const plan = product_plan(terms.data(), 4, 3, 1);
  EXPECT_EQ(plan->rows, 4);
  ASSERT_EQ(plan->nodes.size(), 3U);
  EXPECT_EQ(plan->nodes[0].children, 1);
  EXPECT_EQ(plan->nodes[2].row, 0);
  EXPECT_EQ(plan->leaves, (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(plan->order, (std::vector<std::int64_t>{2, 3, 0, 1}));
  EXPECT_EQ(plan, product_plan(terms.data(), 4, 3, 1));  // made once
}

TEST(ProductPlan, RefusesWhatAreNoTerms) {
  std::vector<std::int32_t> const output = {1, 0}, factor = {0, -2};
  EXPECT_THROW(product_plan(output.data(), 1, 1, 1), Error);
  EXPECT_THROW(product_plan(factor.data(), 1, 1, 1), Error);
}

}  // namespace
}  // namespace torchml::test::products_tests
