// The files of a portable model: one *.param, the archive it names, for models of descriptors one
// *.dat and, where the archive is a compiled one, perhaps the TorchScript that it was made of.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "spec/model_declaration.hpp"

namespace torchml {

struct ModelFiles {
  std::filesystem::path model;        ///< the archive
  std::vector<Declaration> declared;  ///< of the .param file, and of the .dat file if there is one
  std::optional<std::filesystem::path> fallback = {};  ///< NAME.pt where the archive is NAME.pt2
};

/// Finds and reads them among `files`. Throws Error when a file is missing, occurs twice or is
/// malformed.
ModelFiles read_model_files(std::vector<std::filesystem::path> const& files);

}  // namespace torchml
