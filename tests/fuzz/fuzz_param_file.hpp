// What is tried with each .param file, by libFuzzer and by the tests.
#pragma once

#include <string_view>

namespace torchml::fuzz {

/// Reads a `.param` file: it is refused with an Error, or what it declares can be used or is
/// refused with an Error. Returns whether it was read. Ends the program when a promise is broken.
bool try_param_file(std::string_view input);

}  // namespace torchml::fuzz
