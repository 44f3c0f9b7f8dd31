#include "model/archive_metadata.hpp"

#include <caffe2/serialize/inline_container.h>

#include <fstream>

#include "model/archive_check.hpp"
#include "model/torch_error.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

namespace fs = std::filesystem;

}  // namespace

bool is_compiled(fs::path const& path) {
  return path.extension() == ".pt2";
}

Declaration read_metadata(fs::path const& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored))
    throw Error("model file " + path.string() +
                " does not exist, expected a TorchScript archive or a compiled one (.pt2)");
  Declaration declaration{"the metadata of " + path.filename().string(), {}};
  try {
    std::ifstream stream(path, std::ios::binary);
    check_archive(stream);
    stream.clear();
    caffe2::serialize::PyTorchStreamReader reader(&stream);
    constexpr std::string_view folder = "extra/";
    for (auto const& record : reader.getAllRecords()) {
      if (!record.starts_with(folder)) continue;
      auto const key = key_of_file(std::string_view(record).substr(folder.size()));
      if (key.empty()) continue;
      auto const [data, size] = reader.getRecord(record);
      declaration.fields[key] = std::string(static_cast<char const*>(data.get()), size);
    }
  } catch (std::exception const& exception) {
    throw Error("cannot read " + path.filename().string() + " (" + describe(exception) +
                "), expected " +
                (is_compiled(path) ? "an AOTInductor archive" : "a TorchScript archive"));
  }
  return declaration;
}

}  // namespace torchml
