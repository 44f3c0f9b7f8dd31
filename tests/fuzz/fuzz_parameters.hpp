// What is tried with each input, by libFuzzer and by the tests.
#pragma once

#include <string_view>

namespace torchml::descriptor::fuzz {

/// Reads a descriptor.dat: the first line of the input is the kind, the rest is the file. What can
/// be read has to come back the same from its written form; what cannot has to be refused with an
/// Error. Returns whether it was read. Ends the program when a promise is broken.
bool try_parameters(std::string_view input);

}  // namespace torchml::descriptor::fuzz
