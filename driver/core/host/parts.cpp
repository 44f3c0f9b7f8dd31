#include "host/parts.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace torchml {

void for_threads(std::int64_t count,
                 std::function<void(std::function<std::int64_t()> const& next)> const& work) {
  std::atomic<std::int64_t> taken = 0;
  auto const threads = std::min<std::int64_t>(count, at::get_num_threads());
  at::parallel_for(0, threads, 1, [&](std::int64_t /*begin*/, std::int64_t /*end*/) {
    work([&] { return taken++; });
  });
}

std::int64_t parts_for_threads(std::int64_t count, std::int64_t least) {
  std::int64_t const threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  return std::clamp<std::int64_t>(count / least, 1, threads);
}

void for_parts(std::int64_t count, std::int64_t parts,
               std::function<void(std::int64_t, std::int64_t, std::int64_t)> const& work) {
  for_threads(parts, [&](auto const& next) {
    for (auto part = next(); part < parts; part = next())
      work(part, count * part / parts, count * (part + 1) / parts);
  });
}

}  // namespace torchml
