#include "spec/model_declaration.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

[[noreturn]] void refuse(std::string const& key, MetadataField const& field,
                         std::string const& expected) {
  throw Error("'" + key + "' is '" + field.text + "' in " + field.source + ", expected " +
              expected);
}

/// Merged metadata, with a message for a key that is missing.
class Fields {
 public:
  explicit Fields(std::vector<Declaration> const& declarations)
      : metadata_(merge_metadata(declarations)) {
    for (auto const& [source, fields] : declarations)
      if (!fields.empty()) sources_ += (sources_.empty() ? "" : ", ") + source;
    if (sources_.empty()) sources_ = "nothing";
  }

  [[nodiscard]] MetadataField const* find(std::string const& key) const {
    auto const field = metadata_.find(key);
    return field == metadata_.end() ? nullptr : &field->second;
  }

  [[nodiscard]] MetadataField const& require(std::string const& key) const {
    if (auto const* const field = find(key)) return *field;
    throw Error("'" + key + "' is given nowhere (looked in: " + sources_ +
                "), expected it in the model's metadata, its .param file or as a keyword");
  }

  template <class Value>
  [[nodiscard]] Value value_or(std::string const& key, Value const& otherwise) const {
    auto const* const field = find(key);
    return field == nullptr ? otherwise : std::get<Value>(field->value);
  }

  [[nodiscard]] std::string const& sources() const { return sources_; }

 private:
  Metadata metadata_;
  std::string sources_;
};

/// The value of an enumeration that a choice names.
template <class Enum, std::size_t Count>
Enum enumerator(MetadataField const& field, Enum const (&all)[Count]) {
  auto const& name = std::get<std::string>(field.value);
  return *std::ranges::find_if(all, [&](Enum value) { return to_string(value) == name; });
}

ScalarType scalar_type(MetadataField const& field) {
  return enumerator(field, {ScalarType::float32, ScalarType::float64});
}

/// Parameters of the descriptor; its files in several places may be written differently.
descriptor::Parameters parse_descriptor(std::vector<Declaration> const& declarations,
                                        Fields const& fields) {
  auto const& first = fields.find("descriptor_parameters");
  if (first == nullptr)
    throw Error(
        "the parameters of the descriptor are given nowhere (looked in: " + fields.sources() +
        "), expected a .dat file of the model or 'descriptor_parameters' in its metadata");
  auto const kind = fields.require("descriptor").text;
  auto const& text = std::get<std::string>(first->value);
  auto parameters = descriptor::parse_parameters(text, kind, first->source);
  for (auto const& [source, texts] : declarations) {
    auto const file = texts.find("descriptor_parameters");
    if (file != texts.end() && file->second != text && !trim(file->second).empty() &&
        descriptor::parse_parameters(file->second, kind, source) != parameters)
      throw Error("the descriptor in " + first->source + " is not that in " + source +
                  ", expected the same parameters in both");
  }
  return parameters;
}

/// Species and cutoff are the descriptor's unless declared; then they must not promise less than
/// the descriptor needs.
void use_descriptor(Fields const& fields, ModelSpec& spec) {
  auto const& cutoffs = descriptor::cutoffs_of(*spec.descriptor);
  auto const& source = fields.require("descriptor_parameters").source;
  spec.species = fields.value_or("species", cutoffs.species());
  spec.cutoff = fields.value_or("cutoff", cutoffs.largest());
  for (auto const& species : spec.species)
    if (std::ranges::find(cutoffs.species(), species) == cutoffs.species().end())
      throw Error("the descriptor in " + source + " does not have the species '" + species +
                  "', expected all species of the model");
  if (spec.cutoff < cutoffs.largest())
    refuse("cutoff", fields.require("cutoff"),
           "at least the descriptor's, " + shortest(cutoffs.largest()) + " Å in " + source);
}

int layers_of(Fields const& fields, Convention convention) {
  if (passes_messages(convention)) {
    auto const& field = fields.require("layers");
    auto const layers = std::get<std::int64_t>(field.value);
    if (layers < 1) refuse("layers", field, "an integer of at least 1");
    return static_cast<int>(layers);
  }
  if (fields.value_or("layers", std::int64_t{1}) > 1)
    refuse("layers", fields.require("layers"),
           "1, because the convention '" + std::string(to_string(convention)) +
               "' passes no messages");
  return 1;
}

/// One length for each shell, none longer than the one before; the first is the cutoff.
std::vector<double> shell_cutoffs_of(Fields const& fields, ModelSpec const& spec) {
  std::vector<double> lengths;
  auto const* field = fields.find("shell_cutoffs");
  if (field == nullptr) return lengths;
  for (auto const& word : std::get<std::vector<std::string>>(field->value))
    if (auto const length = parse_number<double>(word)) lengths.push_back(*length);
  auto const words = std::get<std::vector<std::string>>(field->value).size();
  bool const fits = spec.convention == Convention::edges && lengths.size() == words &&
                    words == static_cast<std::size_t>(spec.layers) &&
                    lengths.front() == spec.cutoff && lengths.back() > 0.0 &&
                    std::ranges::is_sorted(lengths, std::greater<>());
  if (!fits)
    refuse("shell_cutoffs", *field,
           "for a model of the convention 'edges' one length for each layer, none longer than the "
           "one before, the first " +
               shortest(spec.cutoff) + " Å");
  return lengths;
}

}  // namespace

std::vector<double> ModelSpec::cutoffs() const {
  if (!shell_cutoffs.empty()) return shell_cutoffs;
  return std::vector<double>(static_cast<std::size_t>(layers), cutoff);
}

double ModelSpec::influence_distance() const {
  if (shell_cutoffs.empty()) return cutoff * layers;
  return std::accumulate(shell_cutoffs.begin(), shell_cutoffs.end(), 0.0);
}

std::string_view to_string(Convention value) {
  switch (value) {
    case Convention::raw:
      return "raw";
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

ModelSpec merge(std::vector<Declaration> const& declarations) {
  Fields const fields(declarations);
  ModelSpec spec;
  spec.convention =
      enumerator(fields.require("convention"),
                 {Convention::raw, Convention::descriptor, Convention::graph, Convention::edges});
  if (spec.convention == Convention::descriptor) {
    spec.descriptor = parse_descriptor(declarations, fields);
    use_descriptor(fields, spec);
  } else {
    spec.species = std::get<std::vector<std::string>>(fields.require("species").value);
    spec.cutoff = std::get<double>(fields.require("cutoff").value);
  }
  spec.layers = layers_of(fields, spec.convention);
  spec.shell_cutoffs = shell_cutoffs_of(fields, spec);
  if (auto const* field = fields.find("dtype")) spec.dtype = scalar_type(*field);
  if (auto const* field = fields.find("input_dtype")) spec.input_dtype = scalar_type(*field);
  if (auto const* field = fields.find("species_input"))
    spec.species_input = enumerator(*field, {SpeciesInput::code, SpeciesInput::atomic_number});
  spec.directed = fields.value_or("stage_edges", std::string("symmetric")) == "directed";
  spec.returns_forces = fields.value_or("returns_forces", false);
  spec.members = static_cast<int>(fields.value_or("members", std::int64_t{0}));
  if (spec.members > 0 && spec.returns_forces)
    refuse("members", fields.require("members"),
           "none for a model that returns derivatives, since those of each member are needed");
  spec.radial = fields.value_or("radial", false);
  if (spec.radial && spec.convention != Convention::edges)
    refuse("radial", fields.require("radial"),
           "false, since only models of the convention 'edges' can be");
  spec.extensions = fields.value_or("extensions", spec.extensions);
  spec.number_of_inputs = static_cast<int>(fields.value_or("number_of_inputs", std::int64_t{0}));
  return spec;
}

}  // namespace torchml
