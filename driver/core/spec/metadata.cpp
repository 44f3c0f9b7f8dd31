#include "spec/metadata.hpp"

#include <string_view>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml {
namespace {

constexpr std::string_view archive_folder = "torchml/";
constexpr std::string_view provenance_folder = "torchml_provenance/";

MetadataKey const& known_key(std::string const& name, std::string const& source) {
  if (auto const* const key = find_metadata_key(name)) return *key;
  std::string names;
  for (auto const& key : metadata_keys()) names += (names.empty() ? "" : ", ") + key.name;
  throw Error("unknown key '" + name + "' in " + source + ", expected one of " + names);
}

/// Two spellings of the same value do not contradict each other. Files of one descriptor may be
/// written differently: model_declaration compares their contents.
bool same_value(MetadataKey const& key, MetadataField const& a, MetadataField const& b) {
  if (key.name == "descriptor_parameters") return true;
  if (key.kind == ValueKind::text && key.name != "model") return lower(a.text) == lower(b.text);
  return a.value == b.value;
}

std::string oldest_name(MetadataKey const& key) {
  return key.alias.empty() ? key.name : key.alias;
}

std::string oldest_text(MetadataKey const& key, MetadataField const& field) {
  if (auto const* const flag = std::get_if<bool>(&field.value)) return *flag ? "true" : "false";
  auto const* const text = std::get_if<std::string>(&field.value);
  if (text == nullptr) return field.text;
  for (auto const& choice : key.choices)
    if (!choice.alias.empty() && choice.name == *text) return choice.alias;
  return *text;
}

}  // namespace

Metadata merge_metadata(std::vector<Declaration> const& declarations) {
  Metadata metadata;
  for (auto const& [source, fields] : declarations)
    for (auto const& [name, text] : fields) {
      auto const& key = known_key(name, source);
      auto const trimmed = std::string(trim(text));
      if (trimmed.empty()) continue;
      MetadataField const field{parse_value(key, text, source), trimmed, source};
      auto const [previous, inserted] = metadata.emplace(key.name, field);
      if (inserted || same_value(key, previous->second, field)) continue;
      throw Error("'" + key.name + "' is '" + previous->second.text + "' in " +
                  previous->second.source + " but '" + field.text + "' in " + source +
                  ", expected the same value in both");
    }
  return metadata;
}

std::map<std::string, std::string> metadata_files(Declaration const& declared) {
  std::map<std::string, std::string> files;
  for (auto const& [name, field] : merge_metadata({declared})) {
    auto const& key = *find_metadata_key(name);
    if (key.place == KeyPlace::param_file)
      throw Error("'" + name + "' is in " + declared.source +
                  ", expected only keys that an archive can carry");
    auto const folder = key.place == KeyPlace::archive ? archive_folder : provenance_folder;
    files[std::string(folder) + oldest_name(key)] = oldest_text(key, field);
  }
  return files;
}

std::string key_of_file(std::string_view file) {
  for (auto const folder : {archive_folder, provenance_folder})
    if (file.starts_with(folder)) return std::string(file.substr(folder.size()));
  return {};
}

}  // namespace torchml
