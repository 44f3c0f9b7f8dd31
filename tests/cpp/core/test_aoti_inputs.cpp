// The tensors of a compiled model: names, types and sizes, checked before it reads memory.
#include <gtest/gtest.h>

#include "model/aoti_inputs.hpp"
#include "support.hpp"

namespace torchml::test::aoti_inputs_tests {
namespace {

TEST(AotiInputs, CountsBecomeThePrefixesOfThatLength) {
  AotiInputs const inputs(
      "species:int64[M] edge_vectors:float64[E,3] edge_index:int64[2,E] contributing:int64[M] "
      "node_counts:int64[M0] edge_counts:int64[E0]",
      "a test");
  EXPECT_EQ(inputs.argument_names().size(), 6U);
  EXPECT_TRUE(inputs.takes(ScalarType::float64));
  EXPECT_FALSE(inputs.takes(ScalarType::float32));
  std::vector<c10::IValue> arguments = {
      torch::zeros({3}, torch::kInt64),    torch::zeros({4, 3}, torch::kFloat64),
      torch::zeros({2, 4}, torch::kInt64), torch::zeros({3}, torch::kInt64),
      std::vector<std::int64_t>{2, 3},     std::vector<std::int64_t>{1, 4}};
  auto const tensors = inputs.flatten(arguments);
  ASSERT_EQ(tensors.size(), 6U);
  EXPECT_EQ(tensors[4].size(0), 2);
  EXPECT_EQ(tensors[4].data_ptr(), arguments[3].toTensor().data_ptr());  // nothing is copied
  EXPECT_EQ(tensors[5].size(0), 1);

  arguments[1] = torch::zeros({4, 3}, torch::kFloat32);
  EXPECT_TRUE(contains(error_of([&] { (void)inputs.flatten(arguments); }),
                       "input edge_vectors is of type Float, expected Double"));
  arguments[1] = torch::zeros({5, 3}, torch::kFloat64);
  EXPECT_TRUE(contains(error_of([&] { (void)inputs.flatten(arguments); }),
                       "input edge_index has the shape [2, 4]"));
  arguments.pop_back();
  EXPECT_TRUE(
      contains(error_of([&] { (void)inputs.flatten(arguments); }), "the model gets 5 tensors"));
}

TEST(AotiInputs, MalformedTextIsRefused) {
  for (auto const* text : {"species", "species:int64", "species:int8[M]", ":int64[M]", "a:int64[M"})
    EXPECT_TRUE(
        contains(error_of([&] { AotiInputs(text, "a test"); }), "expected name:type[sizes]"))
        << text;
}

TEST(AotiInputs, NumbersAreFixedSizesAndNamesTheSameSizeEverywhere) {
  AotiInputs const inputs("coords:float32[N,3] species:int64[N]", "a test");
  EXPECT_EQ(inputs.argument_names(), (std::vector<std::string>{"coords", "species"}));
  EXPECT_TRUE(inputs.takes(ScalarType::float32));
  auto const reason = [&](torch::Tensor const& coords, torch::Tensor const& species) {
    return error_of([&] { (void)inputs.flatten({coords, species}); });
  };
  auto const species = torch::zeros({5}, torch::kInt64);
  EXPECT_EQ(reason(torch::zeros({5, 3}), species), "");
  EXPECT_TRUE(contains(reason(torch::zeros({5, 2}), species), "coords has the shape [5, 2]"));
  EXPECT_TRUE(contains(reason(torch::zeros({4, 3}), species), "species has the shape [5]"));
  EXPECT_TRUE(contains(reason(torch::zeros({15}), species), "coords has the shape [15]"));
  EXPECT_TRUE(contains(reason(torch::zeros({5, 3}), species.to(torch::kInt32)),
                       "species is of type Int, expected Long"));
}

TEST(AotiInputs, TensorsAreHandedOverInTheOrderOfTheirMemory) {
  AotiInputs const inputs("coords:float32[N,3]", "a test");
  auto const transposed = torch::arange(12, torch::kFloat32).view({3, 4}).t();
  ASSERT_FALSE(transposed.is_contiguous());
  auto const tensors = inputs.flatten({transposed});
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_TRUE(tensors[0].is_contiguous());
  EXPECT_TRUE(torch::equal(tensors[0], transposed));
}

TEST(AotiInputs, RepeatedNamesAreOneArgument) {
  AotiInputs const inputs("x:int64[N] node_counts:int64[A] node_counts:int64[B]", "a test");
  EXPECT_EQ(inputs.argument_names(), (std::vector<std::string>{"x", "node_counts"}));
}

}  // namespace
}  // namespace torchml::test::aoti_inputs_tests
