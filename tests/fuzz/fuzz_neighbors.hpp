// What is tried with each sequence of neighbour lists, by libFuzzer and by the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace torchml::fuzz {

/// Reads a small periodic system and what happens to it from the input: particles move together or
/// alone, lists are renewed or become wrong, species and flags change. After each step the energies
/// of a model of three layers must be the same with images folded and lists kept as from scratch;
/// lists that name particles that do not exist are refused with an Error. Returns the number of
/// evaluations in which images were folded. Ends the program when a promise is broken.
std::size_t try_neighbors(std::span<std::uint8_t const> input);

}  // namespace torchml::fuzz
