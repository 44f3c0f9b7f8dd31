// Memory that evaluations hand on to each other: reuse, bounds, and what libtorch expects of it.
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "host/caching_allocator.hpp"

namespace torchml {
namespace {

constexpr std::size_t mebi = std::size_t{1} << 20U;

/// A system that counts, and that refuses above a limit.
struct Counter {
  static inline std::atomic<std::int64_t> blocks = 0;
  static inline std::atomic<std::size_t> limit = 0;
  static inline std::atomic<std::size_t> granted = 0;

  static void* allocate(std::size_t bytes) {
    if (granted + bytes > limit) throw std::runtime_error("no memory");
    void* const block = c10::alloc_cpu(bytes + 64);
    std::memcpy(block, &bytes, sizeof bytes);
    granted += bytes;
    ++blocks;
    return static_cast<char*>(block) + 64;
  }
  static void release(void* block) {
    void* const start = static_cast<char*>(block) - 64;
    std::size_t bytes = 0;
    std::memcpy(&bytes, start, sizeof bytes);
    granted -= bytes;
    --blocks;
    c10::free_cpu(start);
  }
};

class CachingAllocatorTest : public testing::Test {
 protected:
  CachingAllocatorTest()
      : allocator_(*c10::GetDefaultCPUAllocator(), {Counter::allocate, Counter::release}) {
    Counter::blocks = 0;
    Counter::granted = 0;
    Counter::limit = std::size_t{1} << 40U;
  }

  CachingAllocator allocator_;
  CachingAllocator::Scope const scope_;
};

TEST_F(CachingAllocatorTest, ABlockIsUsedAgain) {
  void* const first = allocator_.allocate(3 * mebi).get();
  EXPECT_EQ(allocator_.allocate(3 * mebi - 1000).get(), first) << "of nearly the same size";
  EXPECT_EQ(allocator_.usage().from_system, 1);
  auto const two = allocator_.allocate(3 * mebi);
  auto const other = allocator_.allocate(3 * mebi);
  EXPECT_NE(two.get(), other.get());
  EXPECT_EQ(Counter::blocks, 2);
}

TEST_F(CachingAllocatorTest, BlocksAreAlignedAndLargeEnough) {
  for (std::size_t bytes = CachingAllocator::smallest; bytes < 40 * mebi; bytes += bytes / 7 + 13) {
    auto const block = allocator_.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.get()) % 64, 0) << bytes;
    EXPECT_EQ(block.get(), block.get_context()) << "what libtorch calls a simple pointer";
    std::memset(block.get(), 0x5a, bytes);
    EXPECT_LE(Counter::granted - allocator_.usage().cached, bytes + bytes / 4 + 1024) << bytes;
  }
}

TEST_F(CachingAllocatorTest, OthersAreNotKept) {
  auto const small = allocator_.allocate(CachingAllocator::smallest - 1);
  auto const none = allocator_.allocate(0);
  std::thread([&] { auto const outside = allocator_.allocate(mebi); }).join();
  EXPECT_EQ(Counter::blocks, 0);
}

TEST_F(CachingAllocatorTest, NoMoreIsKeptThanWasInUse) {
  std::mt19937 random(2018);
  std::uniform_int_distribution<std::size_t> size(CachingAllocator::smallest, 8 * mebi);
  std::vector<c10::DataPtr> live(6);
  for (int n = 0; n < 20000; ++n) {
    auto& block = live[random() % live.size()];
    block.clear();
    block = allocator_.allocate(size(random));
    auto const usage = allocator_.usage();
    ASSERT_LE(usage.cached, usage.peak);
    ASSERT_EQ(usage.live + usage.cached, Counter::granted);
  }
  // A smaller system follows: what the larger one needed goes.
  live.clear();
  for (int n = 0; n < 3 * 4096; ++n) allocator_.allocate(mebi);
  EXPECT_LE(Counter::granted, 3 * mebi);
  allocator_.release_cached();
  EXPECT_EQ(Counter::granted, 0);
}

TEST_F(CachingAllocatorTest, WithoutMemoryAllThatIsKeptGoes) {
  Counter::limit = 20 * mebi;
  allocator_.allocate(10 * mebi);
  allocator_.allocate(5 * mebi);
  auto const all = allocator_.allocate(17 * mebi);
  EXPECT_EQ(allocator_.usage().cached, 0);
  EXPECT_EQ(Counter::blocks, 1);
  EXPECT_THROW(allocator_.allocate(17 * mebi), std::runtime_error);
  EXPECT_THROW(allocator_.allocate(SIZE_MAX - 5), std::exception);
  EXPECT_EQ(Counter::blocks, 1) << "and the block that lives is not touched";
}

TEST_F(CachingAllocatorTest, ThreadsHandBlocksToEachOther) {
  constexpr int threads = 4;
  std::vector<std::vector<c10::DataPtr>> gifts(threads);
  std::atomic<int> spoilt = 0;
  auto const work = [&](int own) {
    CachingAllocator::Scope const scope;
    std::mt19937 random(own);
    std::vector<c10::DataPtr> mine;
    for (int n = 0; n < 2000; ++n) {
      std::size_t const bytes = CachingAllocator::smallest << (random() % 4);
      mine.push_back(allocator_.allocate(bytes));
      std::memset(mine.back().get(), own + n % 100, bytes);
      auto const* const data = static_cast<unsigned char const*>(mine.back().get());
      for (std::size_t i = 0; i < bytes; i += 4096) spoilt += data[i] != own + n % 100 ? 1 : 0;
      if (mine.size() > 5) mine.erase(mine.begin() + random() % mine.size());
    }
    gifts[own] = std::move(mine);
  };
  std::vector<std::thread> all;
  for (int own = 0; own < threads; ++own) all.emplace_back(work, own);
  for (auto& thread : all) thread.join();
  EXPECT_EQ(spoilt, 0);
  gifts.clear();  // freed by another thread than theirs
  EXPECT_EQ(allocator_.usage().live, 0);
}

TEST(InstalledAllocator, ServesTensorsAndLeavesThemToTheirOwners) {
  auto const before = torch::full({100, 1000}, 1.0);
  CachingAllocator::install();
  auto* const ours = dynamic_cast<CachingAllocator*>(c10::GetCPUAllocator());
  if (ours == nullptr) GTEST_SKIP() << "switched off";
  CachingAllocator::install();
  EXPECT_EQ(c10::GetCPUAllocator(), ours);
  auto const asked = ours->usage().from_system;
  auto const outside = torch::full({100, 1000}, 2.0);
  EXPECT_EQ(ours->usage().from_system, asked) << "a user's own tensors are not ours";

  torch::Tensor inside;
  {
    CachingAllocator::Scope const scope;
    inside = before + outside;
    void* const place = inside.data_ptr();
    inside = torch::Tensor();
    inside = outside + before;
    EXPECT_EQ(inside.data_ptr(), place);
    inside.resize_({200, 1000});  // copies into a larger block
  }
  EXPECT_TRUE(inside.slice(0, 0, 100).eq(3.0).all().item<bool>());
  inside = torch::Tensor();  // outside the scope, and still taken back
  EXPECT_GT(ours->usage().cached, 0);
  CachingAllocator::release_installed();
  EXPECT_EQ(ours->usage().cached, 0);
}

}  // namespace
}  // namespace torchml
