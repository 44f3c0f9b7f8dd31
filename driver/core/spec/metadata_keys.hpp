// The keys of a model's metadata: one table for the driver and for Python.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace torchml {

/// How the text of a key is read.
enum class ValueKind {
  text,     ///< any text
  length,   ///< a positive, finite number of Å
  integer,  ///< an integer from `minimum` to `maximum`
  words,    ///< words between blanks
  lines,    ///< one entry per line
  flag,     ///< true or false
  choice    ///< one of `choices`
};

/// Where a key is written.
enum class KeyPlace {
  archive,     ///< in the archive, as the extra file torchml/<key>
  provenance,  ///< in the archive, as the extra file torchml_provenance/<key>
  param_file   ///< only in a `.param` file
};

/// A value that a choice can have.
struct KeyChoice {
  std::string name;
  std::string alias = {};  ///< an older name, or empty
};

struct MetadataKey {
  std::string name;
  std::string alias;  ///< an older name, or empty
  ValueKind kind;
  std::string meaning;  ///< one line, with the unit
  std::vector<KeyChoice> choices = {};
  std::int64_t minimum = 0;  ///< of integers
  KeyPlace place = KeyPlace::archive;
  std::int64_t maximum = std::numeric_limits<std::int32_t>::max();  ///< of integers
};

/// A value by its kind: text and choice, length, integer, words and lines, flag.
using MetadataValue =
    std::variant<std::string, double, std::int64_t, std::vector<std::string>, bool>;

/// All keys, in the order in which messages and pages list them.
std::vector<MetadataKey> const& metadata_keys();

/// The key of that name or alias, or null.
MetadataKey const* find_metadata_key(std::string_view name);

/// Reads the text of a key; older names of choices become the present ones. Throws Error that names
/// the key, the text, its `source` and what was expected.
MetadataValue parse_value(MetadataKey const& key, std::string_view text, std::string const& source);

std::string_view to_string(ValueKind kind);
std::string_view to_string(KeyPlace place);

}  // namespace torchml
