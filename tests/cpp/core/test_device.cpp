#include <gtest/gtest.h>
#include <torch/cuda.h>

#include "host/device.hpp"
#include "support.hpp"

namespace torchml::test::device_tests {
namespace {

TEST(Device, CpuIsTheDefault) {
  EXPECT_TRUE(pick_device("", 0).is_cpu());
  EXPECT_TRUE(pick_device(" CPU ", 5).is_cpu());
}

TEST(Device, UnknownNamesAreErrors) {
  for (auto const* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda0", "nonsense"})
    EXPECT_TRUE(contains(error_of([&] { pick_device(name, 0); }), "expected cpu, cuda or cuda:K"))
        << name;
}

TEST(Device, AbsentCudaSaysWhatWasFound) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "this machine has a GPU";
  for (auto const* name : {"cuda", "cuda:0"})
    EXPECT_TRUE(contains(error_of([&] { pick_device(name, 0); }), "was requested but")) << name;
}

TEST(Device, RanksTakeGpusInTurn) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "needs a GPU";
  int const count = static_cast<int>(torch::cuda::device_count());
  for (int rank = 0; rank < 2 * count; ++rank)
    EXPECT_EQ(pick_device("cuda", rank).index(), rank % count);
  EXPECT_TRUE(
      contains(error_of([&] { pick_device("cuda:" + std::to_string(count), 0); }), "are visible"));
}

}  // namespace
}  // namespace torchml::test::device_tests
