// Memory of libtorch's large tensors on the CPU, kept from one evaluation to the next. The system
// gives large blocks page by page, zeroed, and takes them back at once: at 8,000 atoms that cost
// more than half of a step.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

namespace torchml {

/// Keeps the blocks of at least `smallest` bytes that evaluations free, for the next ones. Blocks
/// that are small or allocated outside of a Scope (a user's own tensors) come from the allocator
/// that was there before. Every block records its allocator, so allocators may be exchanged while
/// tensors live. Blocks are aligned to 64 bytes. Thread-safe.
class CachingAllocator final : public c10::Allocator {
 public:
  static constexpr std::size_t smallest = std::size_t{64} << 10U;

  /// Where blocks come from; `allocate` throws when there is no memory.
  struct System {
    void* (*allocate)(std::size_t bytes) = c10::alloc_cpu;
    void (*release)(void* block) = c10::free_cpu;
  };

  /// Bytes of blocks, and the number of blocks that came from the system so far.
  struct Usage {
    std::size_t live = 0;
    std::size_t cached = 0;
    std::size_t peak = 0;  ///< most bytes that recently lived at once; at most as much is cached
    std::uint64_t from_system = 0;
  };

  /// While one exists on a thread, the thread's blocks are kept.
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
  };

  /// `others` must outlive this, which must outlive its blocks.
  explicit CachingAllocator(c10::Allocator& others) : CachingAllocator(others, System{}) {}
  CachingAllocator(c10::Allocator& others, System system) : others_(others), system_(system) {}
  ~CachingAllocator() override { release_cached(); }
  CachingAllocator(CachingAllocator const&) = delete;
  CachingAllocator& operator=(CachingAllocator const&) = delete;

  /// Without memory, it first frees all kept blocks and tries again, then throws.
  c10::DataPtr allocate(std::size_t bytes) override;
  void copy_data(void* to, void const* from, std::size_t bytes) const override;

  /// Frees the kept blocks.
  void release_cached();

  [[nodiscard]] Usage usage() const;

  /// Makes one of these libtorch's allocator, the first time it is called, unless an allocator of
  /// higher priority is there. It is never removed, so the library that this is linked into must
  /// not be unloaded.
  static void install();

  /// Frees the kept blocks of the installed one, if there is one.
  static void release_installed();

 private:
  struct Kept {
    void* block;
    std::uint64_t since;  ///< larger is later
  };

  static void give_back(void* data);
  void* take(std::size_t size);
  void* from_system(std::size_t size);
  void keep(void* block, std::size_t size);
  void note_live(std::size_t size);
  void shrink();

  c10::Allocator& others_;
  System system_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::deque<Kept>> kept_;  ///< by size, the oldest first
  Usage usage_;
  std::size_t previous_peak_ = 0;  ///< of the window of allocations before this one
  std::size_t current_peak_ = 0;
  std::uint64_t allocations_ = 0;
  std::uint64_t releases_ = 0;
};

}  // namespace torchml
