// The operators of compressed models: kernels, what other devices do instead, and registration.
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "host/threads.hpp"
#include "operators/convolution.hpp"
#include "operators/edge_order.hpp"
#include "operators/operators.hpp"
#include "operators/spline.hpp"
#include "support.hpp"

namespace torchml::test::convolution_tests {
namespace {

using operators::ConvolutionInputs;

constexpr double kCutoff = 2.5;
constexpr std::int64_t kNodes = 30;
constexpr std::int64_t kWidth = 19;  // no multiple of a vector

/// Random edges with scalars and vectors as in PaiNN.
ConvolutionInputs inputs_of(std::int64_t edges, torch::ScalarType type) {
  torch::manual_seed(3);
  auto const options = torch::TensorOptions(torch::kFloat64);
  auto const index = torch::randint(0, kNodes, {2, edges}, torch::kInt64);
  return {torch::rand({edges}, options) * 1.1 * kCutoff,
          torch::randn({kNodes, 3 * kWidth}, options).to(type),
          torch::randn({edges, 2}, options).to(type),
          torch::randn({12 + 5, 2 * kWidth}, options).to(type),
          index,
          operators::edge_order(index, kNodes),
          kCutoff,
          {0, 0, 0, -1, 1, 1, 1, 0, 1, 2, 1, 1, 2, 2, 0, -1}};
}

void expect_near(torch::Tensor const& found, torch::Tensor const& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  ASSERT_EQ(found.scalar_type(), expected.scalar_type());
  if (found.numel() == 0) return;
  EXPECT_LE((found - expected).abs().max().item<double>(),
            tolerance * (1.0 + expected.abs().max().item<double>()));
}

class Convolutions : public testing::TestWithParam<torch::ScalarType> {
 protected:
  [[nodiscard]] static double tolerance() { return GetParam() == torch::kFloat64 ? 1e-13 : 1e-5; }
};

TEST_P(Convolutions, AreThoseOfTorchsOwnOperators) {
  for (std::int64_t const edges : {0, 1, 17, 500}) {
    auto const inputs = inputs_of(edges, GetParam());
    auto const sums = operators::convolution(inputs, kNodes);
    expect_near(sums, operators::composite_convolution(inputs, kNodes), tolerance());
    auto const gradient = torch::randn_like(sums);
    for (bool const features_too : {true, false}) {
      auto const [r, features, factors] =
          operators::convolution_backward(gradient, inputs, features_too);
      auto const [r2, features2, factors2] =
          operators::composite_convolution_backward(gradient, inputs, features_too);
      expect_near(r, r2, 30 * tolerance());
      expect_near(features, features2, tolerance());
      expect_near(factors, factors2, tolerance());
    }
  }
}

TEST_P(Convolutions, SplinesAreThoseOfTorchsOwnOperators) {
  auto const inputs = inputs_of(100, GetParam());
  auto const values = operators::spline(inputs.r, inputs.table, kCutoff);
  auto const expected = operators::composite_spline(inputs.r, inputs.table, kCutoff, true);
  expect_near(values, expected.values, tolerance());
  auto const gradient = torch::randn_like(values);
  expect_near(operators::spline_backward(gradient, inputs.r, inputs.table, kCutoff),
              (gradient * expected.slopes).sum(1).to(torch::kFloat64), 30 * tolerance());
}

TEST_P(Convolutions, AreTheSameForAnyNumberOfThreads) {
  auto const inputs = inputs_of(20000, GetParam());
  auto const run = [&](int threads) {
    at::set_num_threads(threads);
    auto const sums = operators::convolution(inputs, kNodes);
    auto const [r, features, factors] = operators::convolution_backward(sums, inputs, true);
    return std::vector{sums, r, features, factors};
  };
  auto const before = at::get_num_threads();
  auto const one = run(1);
  auto const three = run(3);
  at::set_num_threads(before);
  for (std::size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(one[k].equal(three[k])) << k;
}

INSTANTIATE_TEST_SUITE_P(Types, Convolutions, testing::Values(torch::kFloat64, torch::kFloat32));

TEST(EdgeOrder, SortsByBothEnds) {
  auto const index = torch::tensor({{2, 0, 1, 0}, {1, 2, 1, 0}}, torch::kInt64);
  auto const tensor = operators::edge_order(index, 4);
  operators::EdgeOrder const order(tensor);
  EXPECT_EQ(order.nodes, 4);
  EXPECT_EQ(order.edges, 4);
  auto const list = [](std::int32_t const* numbers, int count) {
    return std::vector<int>(numbers, numbers + count);
  };
  EXPECT_EQ(list(order.by_target.offsets, 5), (std::vector{0, 1, 3, 4, 4}));
  EXPECT_EQ(list(order.by_target.edges, 4), (std::vector{3, 0, 2, 1}));
  EXPECT_EQ(list(order.by_target.others, 4), (std::vector{0, 2, 1, 0}));
  EXPECT_EQ(list(order.by_source.offsets, 5), (std::vector{0, 2, 3, 4, 4}));
  EXPECT_EQ(list(order.by_source.edges, 4), (std::vector{1, 3, 2, 0}));
  EXPECT_EQ(list(order.by_source.others, 4), (std::vector{2, 0, 1, 1}));
  EXPECT_THROW(operators::EdgeOrder(tensor.slice(0, 1)), Error);
  EXPECT_THROW(operators::edge_order(index, 2), Error);
}

TEST(EdgeOrder, ThreadsSortStably) {
  torch::manual_seed(4);
  constexpr std::int64_t edges = 60000, nodes = 37;
  auto index = torch::randint(0, nodes, {2, edges}, torch::kInt64);
  auto const run = [&](int threads) {
    ThreadScope const scope(threads);
    return operators::edge_order(index, nodes);
  };
  auto const one = run(1);
  EXPECT_TRUE(one.equal(run(3)));
  operators::EdgeOrder const order(one);
  auto const expect = [&](operators::EdgeList const& list, int end) {
    auto const sorted = index[end].argsort(/*stable=*/true).to(torch::kInt32);
    auto const found =
        torch::from_blob(const_cast<std::int32_t*>(list.edges), {edges}, torch::kInt32);
    EXPECT_TRUE(found.equal(sorted));
  };
  expect(order.by_source, 0);
  expect(order.by_target, 1);
  index[1][edges - 1] = nodes;
  EXPECT_THROW(run(3), Error);
}

TEST(Operators, AreRegisteredOnceAndFound) {
  register_operators();
  register_operators();
  auto const found = c10::Dispatcher::singleton().findSchema({"torchml::convolution", ""});
  ASSERT_TRUE(found);
  auto const inputs = inputs_of(50, torch::kFloat64);
  auto const r = inputs.r.clone().requires_grad_();
  torch::jit::Stack stack = {
      r,       inputs.features, inputs.factors, inputs.table, inputs.edge_index, inputs.order,
      kCutoff, inputs.terms,    kNodes};
  found->callBoxed(stack);
  auto const sums = stack.at(0).toTensor();
  EXPECT_TRUE(sums.equal(operators::convolution(inputs, kNodes)));
  auto const gradient = torch::autograd::grad({sums.sum()}, {r})[0];
  auto const expected =
      std::get<0>(operators::convolution_backward(torch::ones_like(sums), inputs, false));
  EXPECT_TRUE(gradient.equal(expected));
}

}  // namespace
}  // namespace torchml::test::convolution_tests
