#include "model.hpp"

#include "torchscript_model.hpp"

namespace torchml {

Declaration read_metadata(std::filesystem::path const& path) {
  return read_torchscript_metadata(path);
}

std::unique_ptr<Model const> load_model(std::filesystem::path const& path,
                                        std::vector<std::string> const& extensions,
                                        torch::Device device) {
  return std::make_unique<TorchScriptModel const>(path, extensions, device);
}

}  // namespace torchml
