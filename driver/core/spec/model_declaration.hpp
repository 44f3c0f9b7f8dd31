// What a model declares about itself: in its `.param` file, in its archive, or by keyword.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "torchml/descriptor/parameters.hpp"

namespace torchml {

/// How the driver calls `forward`; the names are those of `.param` files (docs/conventions.md).
enum class Convention { none, descriptor, graph, edges };

enum class ScalarType { float32, float64 };

/// What the first input of `forward` holds.
enum class SpeciesInput { code, atomic_number };

std::string_view to_string(Convention value);
std::string_view to_string(ScalarType value);
std::string_view to_string(SpeciesInput value);

/// A complete declaration: the engine needs nothing else to prepare inputs.
struct ModelSpec {
  std::vector<std::string> species;  ///< position = KIM species code
  double cutoff = 0.0;               ///< Å
  int layers = 1;                    ///< message-passing layers; 1 is a local model
  Convention convention = Convention::none;
  ScalarType dtype = ScalarType::float64;
  std::optional<ScalarType> input_dtype;  ///< of what it is given, where that is not its own type
  SpeciesInput species_input = SpeciesInput::code;
  bool directed = false;                ///< `graph`: only edges into the atoms a stage needs
  bool returns_forces = false;          ///< forward returns (energy, derivative)
  bool radial = false;                  ///< `edges`: energy depends on the lengths of edges only
  std::vector<std::string> extensions;  ///< operator libraries, names or paths
  std::optional<descriptor::Parameters> descriptor;  ///< of the convention `descriptor`
  int number_of_inputs = 0;  ///< arguments of forward announced in `.param`, 0 if unknown

  /// Ghosts are needed out to here (Å): each layer looks one cutoff further.
  [[nodiscard]] double influence_distance() const { return cutoff * layers; }
};

/// One declaration, possibly partial: keys of ModelSpec as text, and where they were read.
/// Keys: format convention species cutoff layers dtype input_dtype species_input edges
/// returns_forces radial extensions descriptor (its kind) descriptor_parameters (the text of its
/// file) number_of_inputs model; of compiled archives also inputs device instruction_set torch (see
/// compiled_for.hpp).
struct Declaration {
  std::string source;
  std::map<std::string, std::string> fields;
};

/// The keys a model archive may carry, each in an extra file `torchml/<key>`.
std::vector<std::string> const& metadata_keys();

/// Merges declarations into one spec. Throws Error when a key is unknown, a value malformed, a
/// required key (species, cutoff, convention; layers for graph and edges; descriptor and its
/// parameters, which also tell species and cutoff) missing, or when two declarations contradict
/// each other: the message names both values and both sources.
ModelSpec merge(std::vector<Declaration> const& declarations);

}  // namespace torchml
