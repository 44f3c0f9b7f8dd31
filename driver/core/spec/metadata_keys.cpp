#include "spec/metadata_keys.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

// More than is needed, and few enough that no file makes a program run out of memory.
constexpr std::int64_t most_layers = 100;
constexpr std::int64_t most_members = 1000;

std::vector<KeyChoice> const float_types = {{"float32"}, {"float64"}};

std::vector<MetadataKey> make_keys() {
  using enum ValueKind;
  using enum KeyPlace;
  return {
      {"format", "", integer, "version of these keys: 1", {}, 1},
      {"convention",
       "",
       choice,
       "how forward is called (docs/conventions.md)",
       {{"raw", "none"}, {"graph"}, {"edges"}, {"descriptor"}}},
      {"species", "", words, "chemical symbols in the order of the species codes"},
      {"cutoff", "", length, "radius of a neighbour list, Å"},
      {"layers",
       "",
       integer,
       "message-passing layers; the influence distance is layers * cutoff",
       {},
       0,
       archive,
       most_layers},
      {"shell_cutoffs", "", words,
       "lengths of the edges into the atoms of each shell, Å; the influence distance is their sum"},
      {"dtype", "", choice, "float type of the model", float_types},
      {"input_dtype", "", choice, "float type of forward's arguments, if another", float_types},
      {"species_input",
       "",
       choice,
       "what the species argument holds",
       {{"code"}, {"atomic_number"}}},
      {"stage_edges",
       "edges",
       choice,
       "edges of a staged graph: both directions of each pair, or into the target only",
       {{"symmetric"}, {"directed"}}},
      {"returns_forces", "", flag, "forward returns (energy, derivative)"},
      {"members",
       "",
       integer,
       "members of a committee, whose energies the archive returns",
       {},
       2,
       archive,
       most_members},
      {"radial", "", flag, "the energy depends on the lengths of edges only"},
      {"extensions", "", words, "operator libraries to load first, names or paths"},
      {"descriptor", "", text, "kind of the descriptor, as in a .param file"},
      {"descriptor_parameters", "", text, "parameters of the descriptor, the text of its file"},
      {"inputs", "", text, "of a compiled archive: name:type[sizes] of each tensor"},
      {"device", "", text, "of a compiled archive: cpu or cuda"},
      {"instruction_set", "", text, "of a compiled archive: what the processor must have"},
      {"torch", "", text, "of a compiled archive: the version of torch that compiled it"},
      {"name", "", text, "name of the model", {}, 0, provenance},
      {"authors", "", lines, "authors, one per line", {}, 0, provenance},
      {"references", "", lines, "publications, one per line", {}, 0, provenance},
      {"training_data", "", text, "what the model was trained on", {}, 0, provenance},
      {"torchml_version", "", text, "version of TorchML that wrote the archive", {}, 0, provenance},
      {"receptive_field", "", length, "distance up to which atoms matter, Å", {}, 0, provenance},
      {"precision", "", text, "float types of weights and sums", {}, 0, provenance},
      {"number_of_inputs", "", integer, "arguments of forward", {}, 1, param_file},
      {"model", "", text, "file name of the archive", {}, 0, param_file},
  };
}

[[noreturn]] void refuse(MetadataKey const& key, std::string_view text, std::string const& source,
                         std::string const& expected) {
  throw Error("'" + key.name + "' is '" + std::string(text) + "' in " + source + ", expected " +
              expected);
}

std::string parse_choice(MetadataKey const& key, std::string_view text, std::string const& source) {
  std::string names;
  auto const word = lower(text);
  for (auto const& choice : key.choices) {
    if (word == choice.name || (!choice.alias.empty() && word == choice.alias)) return choice.name;
    names += (names.empty() ? "" : ", ") + choice.name;
  }
  refuse(key, text, source, "one of " + names);
}

std::vector<std::string> parse_words(MetadataKey const& key, std::string_view text,
                                     std::string const& source) {
  auto words = split_words(text);
  if (key.name != "species") return words;
  if (words.empty()) refuse(key, text, source, "at least one chemical symbol");
  if (std::set<std::string>(words.begin(), words.end()).size() != words.size())
    refuse(key, text, source, "each species once");
  return words;
}

std::vector<std::string> parse_lines(std::string_view text) {
  std::vector<std::string> entries;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);)
    if (auto const entry = trim(line); !entry.empty()) entries.emplace_back(entry);
  return entries;
}

}  // namespace

std::vector<MetadataKey> const& metadata_keys() {
  static std::vector<MetadataKey> const keys = make_keys();
  return keys;
}

MetadataKey const* find_metadata_key(std::string_view name) {
  auto const& keys = metadata_keys();
  auto const key = std::ranges::find_if(keys, [&](MetadataKey const& candidate) {
    return candidate.name == name || (!candidate.alias.empty() && candidate.alias == name);
  });
  return key == keys.end() ? nullptr : &*key;
}

MetadataValue parse_value(MetadataKey const& key, std::string_view text,
                          std::string const& source) {
  auto const trimmed = trim(text);
  switch (key.kind) {
    case ValueKind::text:
      return std::string(key.name == "descriptor_parameters" ? text : trimmed);
    case ValueKind::length: {
      auto const value = parse_number<double>(trimmed);
      if (!value || !std::isfinite(*value) || *value <= 0.0)
        refuse(key, trimmed, source, "a positive number of Å");
      return *value;
    }
    case ValueKind::integer: {
      auto const value = parse_number<std::int32_t>(trimmed);
      if (!value || *value < key.minimum)
        refuse(key, trimmed, source, "an integer of at least " + std::to_string(key.minimum));
      if (*value > key.maximum)
        refuse(key, trimmed, source, "an integer of at most " + std::to_string(key.maximum));
      if (key.name == "format" && *value != 1)
        refuse(key, trimmed, source, "1, the only metadata format this version reads");
      return std::int64_t{*value};
    }
    case ValueKind::words:
      return parse_words(key, trimmed, source);
    case ValueKind::lines:
      return parse_lines(trimmed);
    case ValueKind::flag: {
      auto const word = lower(trimmed);
      if (word != "true" && word != "false") refuse(key, trimmed, source, "true or false");
      return word == "true";
    }
    case ValueKind::choice:
      return parse_choice(key, trimmed, source);
  }
  throw Error("'" + key.name + "' has an unknown kind");
}

std::string_view to_string(ValueKind kind) {
  switch (kind) {
    case ValueKind::text:
      return "string";
    case ValueKind::length:
      return "number";
    case ValueKind::integer:
      return "integer";
    case ValueKind::words:
      return "list";
    case ValueKind::lines:
      return "lines";
    case ValueKind::flag:
      return "flag";
    case ValueKind::choice:
      return "choice";
  }
  return "?";
}

std::string_view to_string(KeyPlace place) {
  switch (place) {
    case KeyPlace::archive:
      return "archive";
    case KeyPlace::provenance:
      return "provenance";
    case KeyPlace::param_file:
      return "param";
  }
  return "?";
}

}  // namespace torchml
