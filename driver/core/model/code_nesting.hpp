// How deep the text of a TorchScript program nests, found without parsing it.
#pragma once

#include <cstddef>
#include <string_view>

namespace torchml {

/// 15 times what was found in archives of models (33); lists in lists fill a stack of 8 MiB at some
/// number between 1000 and 3000.
constexpr std::size_t most_code_levels = 500;

/// Whether libtorch's lexer and parser, which call themselves for each level of a source text or
/// type, could do so more than `levels` times. What counts at a place: open brackets, words and
/// operators since the last comma of each of them, columns of indentation, lines without content
/// before it, and each `elif` and `lambda` so far. That is at least 1 for each call.
bool nests_deeper(std::string_view source, std::size_t levels);

}  // namespace torchml
