// Sums over edges: the kernel, and what other devices do instead.
#include <gtest/gtest.h>

#include "operators/segment_sum.hpp"
#include "torchml/common/error.hpp"

namespace torchml::test::segment_sum_tests {
namespace {

using operators::composite_segment_sum;
using operators::segment_sum;

TEST(SegmentSum, DevicesWithoutKernelGetTheSame) {
  torch::manual_seed(1);
  auto const index = torch::randint(0, 20, {400}, torch::kInt64);
  auto const values = torch::randn({400, 3, 5}, torch::kFloat64);
  for (auto const type : {torch::kFloat32, torch::kFloat64})
    for (auto const& places : {index, std::get<0>(index.sort())}) {
      auto const found = segment_sum(values.to(type), places, 21);
      EXPECT_EQ(found.sizes(), (std::vector<std::int64_t>{21, 3, 5}));
      EXPECT_TRUE(found.equal(composite_segment_sum(values.to(type), places, 21)));
    }
}

TEST(SegmentSum, RefusesIndicesThatAreNoNodes) {
  auto const values = torch::ones({2, 3});
  EXPECT_THROW(segment_sum(values, torch::tensor({0, 5}, torch::kInt64), 5), Error);
  EXPECT_THROW(segment_sum(values, torch::tensor({-1, 0}, torch::kInt64), 5), Error);
  EXPECT_THROW(segment_sum(values, torch::tensor({0, 0}, torch::kInt64), 0), Error);
}

}  // namespace
}  // namespace torchml::test::segment_sum_tests
