// The metadata in a model archive.
#pragma once

#include <filesystem>

#include "spec/metadata.hpp"

namespace torchml {

/// AOTInductor's archives have names that end in .pt2.
bool is_compiled(std::filesystem::path const& path);

/// Reads the metadata of an archive without loading its code. Throws Error when the file is missing
/// or no archive.
Declaration read_metadata(std::filesystem::path const& path);

}  // namespace torchml
