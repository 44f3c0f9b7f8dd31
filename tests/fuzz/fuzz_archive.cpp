#include "fuzz_archive.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>

#include "broken_promise.hpp"
#include "model/code_nesting.hpp"
#include "model/pickled_storages.hpp"
#include "model/zip_directory.hpp"
#include "torchml/common/error.hpp"

namespace torchml::fuzz {
namespace {

bool try_pickle(std::string_view pickle) {
  try {
    for (auto const& storage : pickled_storages(pickle))
      if (storage.bytes > INT64_MAX) break_promise("a storage is larger than any memory");
    return true;
  } catch (Error const&) {
    return false;
  }
}

/// The bytes of a part that is not packed.
std::string_view content_of(std::string_view archive, ZipPart const& part) {
  auto const length = [&](std::size_t place) {
    return static_cast<unsigned char>(archive[part.begin + place]) +
           256U * static_cast<unsigned char>(archive[part.begin + place + 1]);
  };
  return archive.substr(part.begin + 30 + length(26) + length(28), part.stored);
}

}  // namespace

bool try_archive(std::string_view input) {
  if (!input.starts_with("PK")) return try_pickle(input);
  std::vector<ZipPart> parts;
  try {
    std::istringstream stream{std::string(input)};
    parts = read_zip_directory(stream);
  } catch (Error const&) {
    return false;
  }
  std::ranges::sort(parts, {}, &ZipPart::begin);
  std::uint64_t end = 0;
  bool read = true;
  for (auto const& part : parts) {
    if (part.begin < end || part.begin + part.stored > input.size())
      break_promise("parts overlap, or leave the file");
    end = part.begin + part.stored;
    if (("/" + part.name + "/").find("/../") != std::string::npos)
      break_promise("a part leaves its folder");
    if (part.stored != part.size) continue;
    if (part.name.ends_with(".py")) nests_deeper(content_of(input, part), most_code_levels);
    if (part.name.ends_with(".pkl")) read = try_pickle(content_of(input, part)) && read;
  }
  return read;
}

}  // namespace torchml::fuzz

#ifdef TORCHML_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  torchml::fuzz::try_archive({reinterpret_cast<char const*>(data), size});
  return 0;
}
#endif
