// The files of a portable model: one *.param, the archive it names and, for models of descriptors,
// one *.dat.
#pragma once

#include <filesystem>
#include <vector>

#include "spec/model_declaration.hpp"

namespace torchml {

struct ModelFiles {
  std::filesystem::path model;        ///< the archive
  std::vector<Declaration> declared;  ///< of the .param file, and of the .dat file if there is one
};

/// Finds and reads them among `files`. Throws Error when a file is missing, occurs twice or is
/// malformed.
ModelFiles read_model_files(std::vector<std::filesystem::path> const& files);

}  // namespace torchml
