// Atoms sorted by element, in shares for threads.
#pragma once

#include <cstdint>
#include <vector>

#include "operators/products_kernel.hpp"

namespace torchml::operators {

/// The first `taken` of `count` atoms, in shares of up to `size` atoms of one element, in the order
/// of their numbers. Shares do not depend on the number of threads. Throws Error, named after the
/// operator, for an atom whose element is not in 0 .. kinds.
class ElementShares {
 public:
  ElementShares(char const* name, std::int64_t const* elements, std::int64_t count,
                std::int64_t taken, std::int64_t kinds, std::int64_t size);
  ElementShares(ElementShares const&) = delete;
  ElementShares& operator=(ElementShares const&) = delete;

  std::vector<ProductShare> all;

 private:
  std::vector<std::int64_t> atoms_;
};

}  // namespace torchml::operators
