// Operator libraries (torch-scatter, torch-sparse, a user's own) that a model needs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// Operator libraries to load, and where to search for them.
struct Extensions {
  std::vector<std::string> names;  ///< paths, file names, or packages such as torch_scatter

  /// Searched first; then follow the roots known at build time (TorchScatter_ROOT,
  /// TorchSparse_ROOT) and the Python packages beside libtorch.
  std::vector<std::filesystem::path> folders = {};
};

/// Loads operator libraries into the process. Throws Error that names the library and the places
/// searched.
void load_extensions(Extensions const& extensions);

}  // namespace torchml
