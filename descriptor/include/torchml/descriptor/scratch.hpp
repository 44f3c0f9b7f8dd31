// Memory of one thread that is used again for every block of atoms.
#pragma once

#include <cstddef>
#include <vector>

namespace torchml::descriptor {

/// Hands out arrays until it is reset, and keeps the memory. Arrays are aligned to 64 bytes and
/// hold whatever was there before.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;

  [[nodiscard]] double* doubles(std::size_t count);
  [[nodiscard]] int* ints(std::size_t count);

  /// All arrays handed out so far are given back.
  void reset();

 private:
  struct Chunk;
  void* take(std::size_t bytes);

  std::vector<Chunk> chunks_;  ///< one of them, unless more was asked for since the last reset
  std::size_t used_ = 0;       ///< bytes of the last chunk
};

}  // namespace torchml::descriptor
