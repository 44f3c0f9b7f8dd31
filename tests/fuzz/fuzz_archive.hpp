// What is tried with each model file, by libFuzzer and by the tests.
#pragma once

#include <string_view>

namespace torchml::fuzz {

/// Reads an archive, whose pickles must not be packed, or a pickle alone: the engine's checks
/// before libtorch reads it. It is refused with an Error, or its parts lie in it, apart from each
/// other. Returns whether it was read. Ends the program when a promise is broken.
bool try_archive(std::string_view input);

}  // namespace torchml::fuzz
