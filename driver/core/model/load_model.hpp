// Loading an archive of any kind.
#pragma once

#include <filesystem>
#include <memory>

#include "model/extensions.hpp"
#include "model/model.hpp"
#include "spec/model_declaration.hpp"

namespace torchml {

/// Loads the operator libraries, then the archive: TorchScript, or AOTInductor's if its name ends
/// in .pt2. `metadata` are those of the archive (read_metadata, which examines it). Throws Error
/// with one sentence that names the file.
std::unique_ptr<Model const> load_model(std::filesystem::path const& path,
                                        Declaration const& metadata, Extensions const& extensions,
                                        torch::Device device);

}  // namespace torchml
