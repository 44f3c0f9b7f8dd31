#include "torchml/descriptor/scratch.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace torchml::descriptor {
namespace {

constexpr std::align_val_t alignment{64};

// With a sanitizer every array is an allocation of its own, so that it sees where arrays end.
#ifdef __SANITIZE_ADDRESS__
constexpr bool together = false;
#else
constexpr bool together = true;
#endif

}  // namespace

struct Scratch::Chunk {
  explicit Chunk(std::size_t bytes)
      : size(bytes), memory(static_cast<std::byte*>(::operator new(bytes, alignment))) {}
  Chunk(Chunk&& other) noexcept : size(other.size), memory(std::exchange(other.memory, nullptr)) {}
  Chunk& operator=(Chunk&&) = delete;
  ~Chunk() {
    if (memory != nullptr) ::operator delete(memory, alignment);
  }

  std::size_t size;
  std::byte* memory;
};

Scratch::Scratch() = default;
Scratch::~Scratch() = default;

void* Scratch::take(std::size_t bytes) {
  constexpr auto step = static_cast<std::size_t>(alignment);
  bytes = (bytes + step - 1) / step * step;
  if (!together || chunks_.empty() || chunks_.back().size - used_ < bytes) {
    constexpr std::size_t smallest = together ? 1 << 16 : 0;
    chunks_.emplace_back(std::max(bytes, smallest));
    used_ = 0;
  }
  return chunks_.back().memory + std::exchange(used_, used_ + bytes);
}

double* Scratch::doubles(std::size_t count) {
  return static_cast<double*>(take(count * sizeof(double)));
}

int* Scratch::ints(std::size_t count) {
  return static_cast<int*>(take(count * sizeof(int)));
}

void Scratch::reset() {
  if (chunks_.size() > 1) {  // next time all of it fits into one
    std::size_t total = 0;
    for (auto const& chunk : chunks_) total += chunk.size;
    chunks_.clear();
    if (together) chunks_.emplace_back(total);
  }
  used_ = 0;
}

}  // namespace torchml::descriptor
