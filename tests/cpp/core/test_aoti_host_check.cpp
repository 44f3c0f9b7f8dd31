#include <gtest/gtest.h>
#include <torch/version.h>

#include "model/aoti_host_check.hpp"
#include "model/aoti_inputs.hpp"
#include "model/aoti_model.hpp"
#include "support.hpp"

namespace torchml::test {
namespace {

std::string reason(std::map<std::string, std::string> const& changes, torch::Device device) {
  Declaration declared{"the archive",
                       {{"device", "cpu"}, {"torch", TORCH_VERSION}, {"instruction_set", ""}}};
#if defined(__x86_64__)
  declared.fields["instruction_set"] = "avx2";
#endif
  for (auto const& [key, value] : changes) declared.fields[key] = value;
  return error_of([&] { require_fit(declared, device); });
}

#if defined(__x86_64__)

TEST(CompiledFor, OtherProcessorsAreRefused) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this processor has no AVX2";
  EXPECT_EQ(reason({}, torch::kCPU), "");
  for (auto const* set : {"aarch64", "avx2 avx1024", "sve256", ""})
    EXPECT_TRUE(contains(reason({{"instruction_set", set}}, torch::kCPU),
                         "compiled for the instruction set '" + std::string(set) + "'"))
        << set;
}

TEST(CompiledFor, NewerAndForeignTorchIsRefused) {
  for (auto const* version : {"1.13.0", "2.999.0", "3.0.0", "2", "two.one", ""})
    EXPECT_TRUE(contains(reason({{"torch", version}}, torch::kCPU),
                         "compiled with torch " + std::string(version)))
        << version;
  EXPECT_EQ(reason({{"torch", std::to_string(TORCH_VERSION_MAJOR) + ".0.1+cpu"}}, torch::kCPU), "");
}

TEST(CompiledFor, OtherDevicesAreRefused) {
  EXPECT_TRUE(
      contains(reason({{"device", "cuda"}}, torch::kCPU), "compiled for the device 'cuda'"));
  EXPECT_TRUE(contains(reason({}, torch::kCUDA), "shall run on 'cuda'"));
}

#endif

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
  EXPECT_TRUE(contains(error_of([&] { (void)inputs.flatten(arguments); }), "is given 5 tensors"));
}

TEST(AotiInputs, MalformedTextIsRefused) {
  for (auto const* text : {"species", "species:int64", "species:int8[M]", ":int64[M]", "a:int64[M"})
    EXPECT_TRUE(
        contains(error_of([&] { AotiInputs(text, "a test"); }), "expected name:type[sizes]"))
        << text;
}

TEST(Archives, WhatIsNoCompiledArchiveIsRefused) {
  TemporaryFolder const folder;
  auto const path = folder.write("model.pt2", "PK no zip");
  EXPECT_TRUE(contains(error_of([&] { read_metadata(path); }), "expected an AOTInductor archive"));
  EXPECT_TRUE(contains(error_of([&] { read_metadata(folder / "none.pt2"); }), "does not exist"));
}

}  // namespace
}  // namespace torchml::test
