#include "spec/model_declaration.hpp"

#include <algorithm>
#include <cmath>
#include <locale>
#include <set>
#include <sstream>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

/// The value of one key with the place it was read, for messages.
struct Field {
  std::string value;
  std::string source;
};

[[noreturn]] void refuse(std::string const& key, Field const& field, std::string const& expected) {
  throw Error("'" + key + "' is '" + field.value + "' in " + field.source + ", expected " +
              expected);
}

template <class Enum, std::size_t Count>
Enum parse_choice(std::string const& key, Field const& field, Enum const (&choices)[Count]) {
  std::string names;
  for (auto const choice : choices) {
    if (lower(field.value) == to_string(choice)) return choice;
    names += (names.empty() ? "" : ", ") + std::string(to_string(choice));
  }
  refuse(key, field, "one of " + names);
}

bool parse_bool(std::string const& key, Field const& field) {
  auto const value = lower(field.value);
  if (value == "true") return true;
  if (value == "false") return false;
  refuse(key, field, "true or false");
}

int parse_count(std::string const& key, Field const& field, int minimum) {
  auto const value = parse_number<int>(field.value);
  if (!value || *value < minimum)
    refuse(key, field, "an integer of at least " + std::to_string(minimum));
  return *value;
}

double parse_cutoff(Field const& field) {
  auto const value = parse_number<double>(field.value);
  if (!value || !std::isfinite(*value) || *value <= 0.0)
    refuse("cutoff", field, "a positive number of Å");
  return *value;
}

std::vector<std::string> parse_species(Field const& field) {
  auto species = split_words(field.value);
  if (species.empty()) refuse("species", field, "at least one chemical symbol");
  if (std::set<std::string>(species.begin(), species.end()).size() != species.size())
    refuse("species", field, "each species once");
  return species;
}

/// Two spellings of the same value do not contradict each other.
std::string canonical(std::string const& key, Field const& field) {
  if (key == "cutoff") {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << std::hexfloat << parse_cutoff(field);
    return text.str();
  }
  if (key == "layers" || key == "number_of_inputs")
    return std::to_string(parse_count(key, field, 0));
  if (key == "species" || key == "extensions") {
    std::string words;
    for (auto const& word : split_words(field.value)) words += word + ' ';
    return words;
  }
  return key == "model" ? field.value : lower(field.value);
}

/// What else is declared must not promise less than the descriptor needs.
void check_descriptor(descriptor::SpeciesCutoffs const& cutoffs, std::string const& source,
                      Field const* cutoff, ModelSpec const& spec) {
  for (auto const& species : spec.species)
    if (std::ranges::find(cutoffs.species(), species) == cutoffs.species().end())
      throw Error("the descriptor in " + source + " does not know the species '" + species +
                  "', expected all species of the model");
  if (spec.cutoff < cutoffs.largest())
    refuse("cutoff", *cutoff,
           "at least the descriptor's, " + shortest(cutoffs.largest()) + " Å in " + source);
}

/// Files of one descriptor may be written differently.
descriptor::Parameters parse_descriptor(std::string const& kind, std::vector<Field> const& files) {
  auto const& first = files.front();
  auto parameters = descriptor::parse_parameters(first.value, kind, first.source);
  for (auto const& file : files)
    if (file.value != first.value &&
        descriptor::parse_parameters(file.value, kind, file.source) != parameters)
      throw Error("the descriptor in " + first.source + " is not that in " + file.source +
                  ", expected the same parameters in both");
  return parameters;
}

}  // namespace

std::string_view to_string(Convention value) {
  switch (value) {
    case Convention::none:
      return "none";
    case Convention::descriptor:
      return "descriptor";
    case Convention::graph:
      return "graph";
    case Convention::edges:
      return "edges";
  }
  return "?";
}

std::string_view to_string(ScalarType value) {
  return value == ScalarType::float32 ? "float32" : "float64";
}

std::string_view to_string(SpeciesInput value) {
  return value == SpeciesInput::code ? "code" : "atomic_number";
}

std::vector<std::string> const& metadata_keys() {
  static std::vector<std::string> const keys = {"format",          "convention",
                                                "species",         "cutoff",
                                                "layers",          "dtype",
                                                "input_dtype",     "species_input",
                                                "edges",           "returns_forces",
                                                "radial",          "extensions",
                                                "descriptor",      "descriptor_parameters",
                                                "inputs",          "device",
                                                "instruction_set", "torch"};
  return keys;
}

ModelSpec merge(std::vector<Declaration> const& declarations) {
  std::set<std::string> known(metadata_keys().begin(), metadata_keys().end());
  known.insert({"number_of_inputs", "model"});

  std::map<std::string, Field> fields;
  std::vector<Field> descriptor_files;
  std::string sources;
  for (auto const& [source, declared] : declarations) {
    if (!declared.empty()) sources += (sources.empty() ? "" : ", ") + source;
    for (auto const& [key, value] : declared) {
      if (!known.contains(key)) throw Error("unknown key '" + key + "' in " + source);
      if (key == "descriptor_parameters") {
        descriptor_files.push_back({value, source});
        continue;
      }
      Field const field{std::string(trim(value)), source};
      auto const [previous, inserted] = fields.emplace(key, field);
      if (inserted || canonical(key, previous->second) == canonical(key, field)) continue;
      throw Error("'" + key + "' is '" + previous->second.value + "' in " +
                  previous->second.source + " but '" + field.value + "' in " + source +
                  ", expected the same value in both");
    }
  }

  auto const find = [&](std::string const& key) -> Field const* {
    auto const found = fields.find(key);
    return found == fields.end() ? nullptr : &found->second;
  };
  auto const require = [&](std::string const& key) -> Field const& {
    if (auto const* const field = find(key)) return *field;
    throw Error("'" + key + "' is given nowhere (looked in: " +
                (sources.empty() ? std::string("nothing") : sources) +
                "), expected it in the model's metadata, its .param file or as a keyword");
  };

  ModelSpec spec;
  if (auto const* field = find("format"); field && field->value != "1")
    refuse("format", *field, "1, the only metadata format this version reads");
  spec.convention = parse_choice(
      "convention", require("convention"),
      {Convention::none, Convention::descriptor, Convention::graph, Convention::edges});
  if (spec.convention == Convention::descriptor) {
    if (descriptor_files.empty())
      throw Error(
          "the parameters of the descriptor are given nowhere (looked in: " + sources +
          "), expected a .dat file of the model or 'descriptor_parameters' in its metadata");
    spec.descriptor = parse_descriptor(require("descriptor").value, descriptor_files);
    auto const& cutoffs = descriptor::cutoffs_of(*spec.descriptor);
    spec.species = find("species") != nullptr ? parse_species(*find("species")) : cutoffs.species();
    spec.cutoff = find("cutoff") != nullptr ? parse_cutoff(*find("cutoff")) : cutoffs.largest();
    check_descriptor(cutoffs, descriptor_files.front().source, find("cutoff"), spec);
  } else {
    spec.species = parse_species(require("species"));
    spec.cutoff = parse_cutoff(require("cutoff"));
  }

  bool const message_passing =
      spec.convention == Convention::graph || spec.convention == Convention::edges;
  if (message_passing) {
    spec.layers = parse_count("layers", require("layers"), 1);
  } else if (auto const* field = find("layers"); field && parse_count("layers", *field, 0) > 1) {
    refuse("layers", *field,
           "1, because the convention '" + std::string(to_string(spec.convention)) +
               "' passes no messages");
  }
  if (auto const* field = find("dtype"))
    spec.dtype = parse_choice("dtype", *field, {ScalarType::float32, ScalarType::float64});
  if (auto const* field = find("input_dtype"))
    spec.input_dtype =
        parse_choice("input_dtype", *field, {ScalarType::float32, ScalarType::float64});
  if (auto const* field = find("species_input"))
    spec.species_input =
        parse_choice("species_input", *field, {SpeciesInput::code, SpeciesInput::atomic_number});
  if (auto const* field = find("edges")) {
    auto const value = lower(field->value);
    if (value != "symmetric" && value != "directed")
      refuse("edges", *field, "symmetric or directed");
    spec.directed = value == "directed";
  }
  if (auto const* field = find("returns_forces"))
    spec.returns_forces = parse_bool("returns_forces", *field);
  if (auto const* field = find("radial")) {
    spec.radial = parse_bool("radial", *field);
    if (spec.radial && spec.convention != Convention::edges)
      refuse("radial", *field, "false, since only models of the convention 'edges' can be");
  }
  if (auto const* field = find("extensions")) spec.extensions = split_words(field->value);
  if (auto const* field = find("number_of_inputs"))
    spec.number_of_inputs = parse_count("number_of_inputs", *field, 1);
  return spec;
}

}  // namespace torchml
