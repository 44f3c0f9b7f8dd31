// What is tried with the metadata of each archive, by libFuzzer and by the tests.
#pragma once

#include <string_view>

namespace torchml::fuzz {

/// Reads metadata: entries `key=text` that end with a zero byte, of one source or, behind an empty
/// entry, of a second one. They are refused with an Error, or come back the same from the extra
/// files of an archive, and what they declare can be used or is refused with an Error. Returns
/// whether they were read. Ends the program when a promise is broken.
bool try_metadata(std::string_view input);

}  // namespace torchml::fuzz
