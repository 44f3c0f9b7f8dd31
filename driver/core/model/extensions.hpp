// Operator libraries (torch-scatter, torch-sparse, a user's own) that a model needs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// Where libraries given by name are looked for: TORCHML_EXTENSION_PATH (colon separated), the
/// roots known at build time (TorchScatter_ROOT, TorchSparse_ROOT), and the Python packages
/// beside libtorch.
std::vector<std::filesystem::path> extension_search_path();

/// Loads operator libraries into the process; each is a path, a file name, or the name of a
/// package such as torch_scatter. Throws Error naming the library and the places searched.
void load_extensions(std::vector<std::string> const& names);

/// Libraries listed in TORCHML_EXTENSIONS (colon separated), for models that name none.
std::vector<std::string> extensions_from_environment();

}  // namespace torchml
