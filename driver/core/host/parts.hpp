// Loops that several threads share.
#pragma once

#include <cstdint>
#include <functional>

namespace torchml {

/// In how many parts 0 .. count is cut for the threads of libtorch, when one of `least` numbers is
/// worth a thread: at least 1, at most one for each thread.
std::int64_t parts_for_threads(std::int64_t count, std::int64_t least);

/// Calls work(part, begin, end) for `parts` equal parts of 0 .. count. Threads take one part after
/// the other, so that a slow thread does not hold up the others.
void for_parts(std::int64_t count, std::int64_t parts,
               std::function<void(std::int64_t, std::int64_t, std::int64_t)> const& work);

}  // namespace torchml
