// The declaration of a model: in its `.param` file, in its archive, or by keyword.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/metadata.hpp"
#include "torchml/descriptor/parameters.hpp"

namespace torchml {

/// How the driver calls `forward` (docs/conventions.md).
enum class Convention { raw, descriptor, graph, edges };

enum class ScalarType { float32, float64 };

/// What the first input of `forward` holds.
enum class SpeciesInput { code, atomic_number };

/// Models of these conventions look further than one cutoff.
constexpr bool passes_messages(Convention convention) {
  return convention == Convention::graph || convention == Convention::edges;
}

std::string_view to_string(Convention value);
std::string_view to_string(ScalarType value);
std::string_view to_string(SpeciesInput value);

/// A complete declaration: the engine needs nothing else to prepare inputs.
struct ModelSpec {
  std::vector<std::string> species;   ///< position = KIM species code
  double cutoff = 0.0;                ///< Å
  int layers = 1;                     ///< message-passing layers; 1 is a local model
  std::vector<double> shell_cutoffs;  ///< Å, `edges`: of edges into each shell; empty: the cutoff
  Convention convention = Convention::raw;
  ScalarType dtype = ScalarType::float64;
  std::optional<ScalarType> input_dtype;  ///< of forward's arguments, where that is another type
  SpeciesInput species_input = SpeciesInput::code;
  bool directed = false;                ///< `graph`: only edges into the atoms a stage needs
  bool returns_forces = false;          ///< forward returns (energy, derivative)
  int members = 0;                      ///< of a committee: rows of member_energies
  bool radial = false;                  ///< `edges`: energy depends on the lengths of edges only
  std::vector<std::string> extensions;  ///< operator libraries, names or paths
  std::optional<descriptor::Parameters> descriptor;  ///< of the convention `descriptor`
  int number_of_inputs = 0;  ///< arguments of forward announced in `.param`, 0 if unknown

  /// Type of forward's floating-point arguments.
  [[nodiscard]] ScalarType input_type() const { return input_dtype.value_or(dtype); }

  /// Lengths (Å) of the edges into the atoms reached in 0, 1, .. layers - 1 hops.
  [[nodiscard]] std::vector<double> cutoffs() const;

  /// Ghosts are needed out to here (Å): each layer looks one cutoff further.
  [[nodiscard]] double influence_distance() const;
};

/// Merges declarations into one spec. Throws Error when merge_metadata does, or when a required key
/// is missing: species, cutoff and convention; layers for graph and edges; descriptor and its
/// parameters, which also give species and cutoff.
ModelSpec merge(std::vector<Declaration> const& declarations);

}  // namespace torchml
