#include <gtest/gtest.h>
#include <torch/version.h>

#include "model/aoti_host_check.hpp"
#include "model/archive_metadata.hpp"
#include "support.hpp"

namespace torchml::test::aoti_host_check_tests {
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
  EXPECT_TRUE(contains(reason({}, torch::kCUDA), "must run on 'cuda'"));
}

#endif

TEST(Archives, WhatIsNoCompiledArchiveIsRefused) {
  TemporaryFolder const folder;
  auto const path = folder.write("model.pt2", "PK no zip");
  EXPECT_TRUE(contains(error_of([&] { read_metadata(path); }), "expected an AOTInductor archive"));
  EXPECT_TRUE(contains(error_of([&] { read_metadata(folder / "none.pt2"); }), "does not exist"));
}

}  // namespace
}  // namespace torchml::test::aoti_host_check_tests
