#include "fuzz_metadata.hpp"

#include <cstdint>
#include <vector>

#include "broken_promise.hpp"
#include "spec/model_declaration.hpp"
#include "torchml/common/error.hpp"

namespace torchml::fuzz {
namespace {

std::vector<Declaration> declarations_of(std::string_view input) {
  std::vector<Declaration> declarations = {{"the first", {}}};
  while (!input.empty()) {
    auto const end = input.find('\0');
    auto const entry = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    auto const middle = entry.find('=');
    if (entry.empty() && declarations.size() == 1) declarations.push_back({"the second", {}});
    if (middle == std::string_view::npos) continue;
    declarations.back().fields[std::string(entry.substr(0, middle))] = entry.substr(middle + 1);
  }
  return declarations;
}

/// From extra files, as the archive holds them.
Declaration written_and_read(Declaration const& declared) {
  Declaration read{declared.source, {}};
  for (auto const& [file, text] : metadata_files(declared)) read.fields[key_of_file(file)] = text;
  return read;
}

bool equal(Metadata const& one, Metadata const& other) {
  if (one.size() != other.size()) return false;
  for (auto const& [name, field] : one) {
    auto const match = other.find(name);
    if (match == other.end() || match->second.value != field.value) return false;
  }
  return true;
}

}  // namespace

bool try_metadata(std::string_view input) {
  auto const declarations = declarations_of(input);
  try {
    merge_metadata(declarations);
  } catch (Error const&) {
    return false;
  }
  for (auto const& declared : declarations) {
    Declaration again;
    try {
      again = written_and_read(declared);
    } catch (Error const&) {  // keys that only a .param file has
      continue;
    }
    if (!equal(merge_metadata({again}), merge_metadata({declared})))
      break_promise("metadata differ after writing and reading");
  }
  try {
    auto const spec = merge(declarations);
    if (spec.species.empty() || !(spec.influence_distance() > 0.0) ||
        spec.cutoffs().size() != static_cast<std::size_t>(spec.layers))
      break_promise("a declaration is incomplete");
  } catch (Error const&) {  // not all is declared, or it does not fit together
  }
  return true;
}

}  // namespace torchml::fuzz

#ifdef TORCHML_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  torchml::fuzz::try_metadata({reinterpret_cast<char const*>(data), size});
  return 0;
}
#endif
