#include "model/archive_check.hpp"

#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model/code_nesting.hpp"
#include "model/pickled_storages.hpp"
#include "model/torch_error.hpp"
#include "model/zip_directory.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

using Reader = caffe2::serialize::PyTorchStreamReader;

void check_code(Reader& reader, std::vector<ZipPart> const& parts) {
  for (auto const& part : parts) {
    auto const name = part.name.substr(part.name.find('/') + 1);
    auto const known = lower(name);  // libtorch ignores the case of names
    if (!known.starts_with("code/") || !known.ends_with(".py") || !reader.hasRecord(name)) continue;
    auto const [code, size] = reader.getRecord(name);
    if (nests_deeper({static_cast<char const*>(code.get()), size}, most_code_levels))
      throw Error("its part " + in_quotes(name) + " nests expressions or blocks too deep");
  }
}

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
  if (std::ranges::none_of(parts,
                           [](auto const& part) { return lower(part.name).ends_with("version"); }))
    return;
  try {
    stream.clear();
    Reader reader(&stream);
    for (auto const* const folder : {"data", "constants"}) check_storages(reader, folder);
    check_code(reader, parts);
  } catch (std::exception const& exception) {
    throw Error(describe(exception));
  }
}

}  // namespace torchml
