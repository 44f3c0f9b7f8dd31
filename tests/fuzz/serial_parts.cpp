// Work in one part, in the place of host/parts.cpp, which needs libtorch.
#include "host/parts.hpp"

namespace torchml {

std::int64_t parts_for_threads(std::int64_t /*count*/, std::int64_t /*least*/) {
  return 1;
}

void for_parts(std::int64_t count, std::int64_t /*parts*/,
               std::function<void(std::int64_t, std::int64_t, std::int64_t)> const& work) {
  work(0, 0, count);
}

}  // namespace torchml
