// Metadata of a model from several places, merged into one set of values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "spec/metadata_keys.hpp"

namespace torchml {

/// Metadata from one place, possibly partial: text by key (see metadata_keys), and where it was
/// read.
struct Declaration {
  std::string source;
  std::map<std::string, std::string> fields;
};

/// The value of one key with its text and the place it was read.
struct MetadataField {
  MetadataValue value;
  std::string text;
  std::string source;
};

/// Values by the present names of their keys.
using Metadata = std::map<std::string, MetadataField>;

/// Merges declarations; empty texts declare nothing. Throws Error when a key is unknown, a value
/// malformed, or when two declarations contradict each other: the message names both values and
/// both sources.
Metadata merge_metadata(std::vector<Declaration> const& declarations);

/// The extra files of an archive that hold the fields: text by file name. Keys and choices are
/// written under their oldest names, which drivers of all versions read; provenance is in a folder
/// of its own, which older drivers ignore. Throws Error when a field is malformed or belongs in no
/// archive.
std::map<std::string, std::string> metadata_files(Declaration const& declared);

/// The key of an extra file that metadata_files names, or empty.
std::string key_of_file(std::string_view file);

}  // namespace torchml
