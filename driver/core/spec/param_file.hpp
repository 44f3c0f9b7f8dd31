// The `.param` file of a KIM portable model, in the layout that KLIFF writes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "spec/model_declaration.hpp"

namespace torchml {

/// Reads species, preprocessing kind, cutoff (and layers), model file name, whether forces are
/// returned and the number of inputs; the section that names a descriptor follows for the
/// `descriptor` kind. Comments (#) and blank lines may stand anywhere, line ends may be CRLF.
/// Throws Error naming file and line.
Declaration read_param_file(std::filesystem::path const& path);

/// The same from the text of a file; `source` names it in messages.
Declaration parse_param_file(std::string_view text, std::string const& source);

}  // namespace torchml
