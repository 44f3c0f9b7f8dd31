#include "model/load_model.hpp"

#include "model/aoti_model.hpp"
#include "model/archive_metadata.hpp"
#include "model/torchscript_model.hpp"

namespace torchml {

std::unique_ptr<Model const> load_model(std::filesystem::path const& path,
                                        Declaration const& metadata, Extensions const& extensions,
                                        torch::Device device) {
  if (is_compiled(path))
    return std::make_unique<AotiModel const>(path, metadata, extensions, device);
  return std::make_unique<TorchScriptModel const>(path, extensions, device);
}

}  // namespace torchml
