#include "model/archive_check.hpp"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <string>

#include "model/pickled_storages.hpp"
#include "model/torch_error.hpp"
#include "model/zip_directory.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

using Reader = caffe2::serialize::PyTorchStreamReader;

void check_storages(Reader& reader, std::string const& folder) {
  if (!reader.hasRecord(folder + ".pkl")) return;
  auto const [pickle, size] = reader.getRecord(folder + ".pkl");
  for (auto const& [key, bytes] :
       pickled_storages({static_cast<char const*>(pickle.get()), size})) {
    if (bytes == 0) continue;
    auto const part = folder + "/" + key;
    if (!reader.hasRecord(part)) throw Error("its part " + in_quotes(part) + " is missing");
    if (auto const present = reader.getRecordSize(part); present < bytes)
      throw Error("its part " + in_quotes(part) + " has " + std::to_string(present) +
                  " bytes of the " + std::to_string(bytes) + " that its tensors need");
  }
}

}  // namespace

void check_archive(std::istream& stream) {
  auto const parts = read_zip_directory(stream);
  // Without a version libtorch reads nothing.
  if (std::ranges::none_of(parts, [](auto const& part) { return part.name.ends_with("version"); }))
    return;
  try {
    stream.clear();
    Reader reader(&stream);
    for (auto const* const folder : {"data", "constants"}) check_storages(reader, folder);
  } catch (std::exception const& exception) {
    throw Error(describe(exception));
  }
}

}  // namespace torchml
