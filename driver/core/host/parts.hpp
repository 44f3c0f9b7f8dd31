// Loops that several threads share.
#pragma once

#include <cstdint>
#include <functional>

namespace torchml {

/// Numbers, one for each edge for example, that are worth a thread where little is done with each.
inline constexpr std::int64_t kNumbersOfPart = 16384;

/// Calls work(next) on the threads of libtorch, at most `count` of them. next() gives each number
/// of 0 .. count to one of them, and `count` or more when none is left: a slow thread takes fewer.
void for_threads(std::int64_t count,
                 std::function<void(std::function<std::int64_t()> const& next)> const& work);

/// In how many parts 0 .. count is cut for the threads of libtorch, when one of `least` numbers is
/// worth a thread: at least 1, at most one for each thread.
std::int64_t parts_for_threads(std::int64_t count, std::int64_t least);

/// Calls work(part, begin, end) for `parts` equal parts of 0 .. count, which threads take one after
/// the other.
void for_parts(std::int64_t count, std::int64_t parts,
               std::function<void(std::int64_t, std::int64_t, std::int64_t)> const& work);

}  // namespace torchml
