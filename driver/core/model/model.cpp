#include "model/model.hpp"

#include <caffe2/serialize/inline_container.h>

#include "model/aoti_model.hpp"
#include "model/torch_error.hpp"
#include "model/torchscript_model.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

namespace fs = std::filesystem;

bool is_compiled(fs::path const& path) {
  return path.extension() == ".pt2";
}

void require_file(fs::path const& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored))
    throw Error("model file " + path.string() +
                " does not exist, expected a TorchScript archive or a compiled one (.pt2)");
}

}  // namespace

Declaration read_metadata(fs::path const& path) {
  require_file(path);
  Declaration declaration{"the metadata of " + path.filename().string(), {}};
  try {
    caffe2::serialize::PyTorchStreamReader reader(path.string());
    constexpr std::string_view folder = "extra/torchml/";
    for (auto const& record : reader.getAllRecords()) {
      if (!record.starts_with(folder)) continue;
      auto const [data, size] = reader.getRecord(record);
      declaration.fields[record.substr(folder.size())] =
          std::string(static_cast<char const*>(data.get()), size);
    }
  } catch (std::exception const& exception) {
    throw Error("cannot read " + path.filename().string() + " (" + describe(exception) +
                "), expected " +
                (is_compiled(path) ? "an AOTInductor archive" : "a TorchScript archive"));
  }
  return declaration;
}

std::unique_ptr<Model const> load_model(fs::path const& path,
                                        std::vector<std::string> const& extensions,
                                        torch::Device device) {
  require_file(path);
  if (is_compiled(path)) return std::make_unique<AotiModel const>(path, extensions, device);
  return std::make_unique<TorchScriptModel const>(path, extensions, device);
}

}  // namespace torchml
