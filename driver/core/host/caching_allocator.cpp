#include "host/caching_allocator.hpp"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <exception>
#include <limits>
#include <new>

namespace torchml {
namespace {

/// Stands before the data of every block of ours, and leaves them aligned.
struct alignas(c10::gAlignment) Header {
  CachingAllocator* owner;
  std::size_t size;  ///< of the block, header included
};

/// Larger requests are errors; the other allocator has a message for them.
constexpr std::size_t largest = std::numeric_limits<std::size_t>::max() / 4;
/// Allocations after which an old peak no longer counts: some tens of evaluations.
constexpr std::uint64_t window = 4096;

thread_local int scopes = 0;

/// Rounds up to an eighth of a power of two, so that sizes which change a little stay the same.
std::size_t size_class(std::size_t bytes) {
  std::size_t const step = std::size_t{1} << (std::bit_width(bytes) - 4);
  return (bytes + step - 1) / step * step;
}

/// libtorch's allocator, if it is one of these; never destroyed, since tensors may outlive all
/// else.
std::atomic<CachingAllocator*> installed = nullptr;

}  // namespace

CachingAllocator::Scope::Scope() {
  ++scopes;
}

CachingAllocator::Scope::~Scope() {
  --scopes;
}

c10::DataPtr CachingAllocator::allocate(std::size_t bytes) {
  if (scopes == 0 || bytes < smallest || bytes > largest) return others_.allocate(bytes);
  std::size_t const size = size_class(bytes + sizeof(Header));
  void* block = take(size);
  if (block == nullptr) {
    try {
      block = from_system(size);
    } catch (...) {
      c10::profiledCPUMemoryReporter().OutOfMemory(bytes);
      throw;
    }
  }
  void* const data = static_cast<Header*>(block) + 1;
  c10::profiledCPUMemoryReporter().New(data, bytes);
  return {data, data, &give_back, c10::Device(c10::kCPU)};
}

void CachingAllocator::copy_data(void* to, void const* from, std::size_t bytes) const {
  default_copy_data(to, from, bytes);
}

/// A kept block of this size or a little more; null if there is none.
void* CachingAllocator::take(std::size_t size) {
  std::scoped_lock const lock(mutex_);
  auto const blocks = kept_.lower_bound(size);
  if (blocks == kept_.end() || blocks->first > size + size / 4) return nullptr;
  auto const [block, since] = blocks->second.back();  // the latest, which caches may still hold
  auto const block_size = blocks->first;
  blocks->second.pop_back();
  if (blocks->second.empty()) kept_.erase(blocks);
  usage_.cached -= block_size;
  note_live(block_size);
  return block;
}

void* CachingAllocator::from_system(std::size_t size) {
  void* block = nullptr;
  try {
    block = system_.allocate(size);
  } catch (std::exception const&) {
    if (usage().cached == 0) throw;
    release_cached();
    block = system_.allocate(size);
  }
  new (block) Header{this, size};
  std::scoped_lock const lock(mutex_);
  ++usage_.from_system;
  note_live(size);
  shrink();
  return block;
}

void CachingAllocator::note_live(std::size_t size) {
  usage_.live += size;
  if (++allocations_ % window == 0) {
    previous_peak_ = current_peak_;
    current_peak_ = 0;
  }
  current_peak_ = std::max(current_peak_, usage_.live);
  usage_.peak = std::max(previous_peak_, current_peak_);
}

void CachingAllocator::give_back(void* data) {
  if (data == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(data);
  Header* const header = static_cast<Header*>(data) - 1;
  header->owner->keep(header, header->size);
}

void CachingAllocator::keep(void* block, std::size_t size) {
  std::scoped_lock const lock(mutex_);
  usage_.live -= size;
  try {
    kept_[size].push_back({block, ++releases_});
    usage_.cached += size;
  } catch (std::bad_alloc const&) {  // the block must be freed also then
    if (auto const empty = kept_.find(size); empty != kept_.end() && empty->second.empty())
      kept_.erase(empty);
    system_.release(block);
  }
  shrink();
}

/// Frees the blocks that were not used for the longest time until no more is kept than was in use.
void CachingAllocator::shrink() {
  while (usage_.cached > usage_.peak) {
    auto const oldest = std::min_element(kept_.begin(), kept_.end(), [](auto& a, auto& b) {
      return a.second.front().since < b.second.front().since;
    });
    system_.release(oldest->second.front().block);
    usage_.cached -= oldest->first;
    oldest->second.pop_front();
    if (oldest->second.empty()) kept_.erase(oldest);
  }
}

void CachingAllocator::release_cached() {
  std::scoped_lock const lock(mutex_);
  for (auto const& [size, blocks] : kept_)
    for (auto const& kept : blocks) system_.release(kept.block);
  kept_.clear();
  usage_.cached = 0;
  previous_peak_ = 0;
  current_peak_ = usage_.live;
  usage_.peak = usage_.live;
}

CachingAllocator::Usage CachingAllocator::usage() const {
  std::scoped_lock const lock(mutex_);
  return usage_;
}

void CachingAllocator::install() {
  static std::once_flag once;
  std::call_once(once, [] {
    installed = new CachingAllocator(*c10::GetCPUAllocator());
    constexpr std::uint8_t above_default = 1;
    c10::SetCPUAllocator(installed.load(), above_default);
    // A forked process must not inherit a lock that another thread holds.
    pthread_atfork([] { installed.load()->mutex_.lock(); },
                   [] { installed.load()->mutex_.unlock(); },
                   [] { installed.load()->mutex_.unlock(); });
  });
}

void CachingAllocator::release_installed() {
  if (auto* const allocator = installed.load()) allocator->release_cached();
}

}  // namespace torchml
