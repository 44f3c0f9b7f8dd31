// From a system to forward's arguments, and from gradients back to forces: one builder for each
// calling convention.
#pragma once

#include <torch/script.h>

#include <memory>
#include <string>
#include <vector>

#include "graph/ghost_folding.hpp"
#include "host/list_policy.hpp"
#include "result.hpp"
#include "spec/model_declaration.hpp"
#include "system.hpp"
#include "torchml/descriptor/descriptor.hpp"

namespace torchml {

/// Arguments of one call of forward.
struct ModelInputs {
  std::vector<c10::IValue> arguments;
  torch::Tensor differentiable;     ///< the leaf dE/d(.) is taken of
  std::int64_t particles = 0;       ///< rows of a per-particle energy
  std::int64_t contributing = 0;    ///< rows of a per-contributing-atom energy
  torch::Tensor contributing_rows;  ///< i64 [contributing] on the CPU: rows of the contributing
};

/// Holds the buffers of one stream of evaluations (one compute-arguments object, one thread).
class InputBuilder {
 public:
  virtual ~InputBuilder() = default;

  /// Prepares forward's arguments; the differentiable one requires a gradient if `gradient`. There
  /// are none where all contributing particles are excluded. Throws Error on incomplete lists.
  virtual ModelInputs build(System const& system, bool gradient) = 0;

  /// Adds forces, virials and edge terms, as far as requested, to a cleared result, from
  /// `derivative`, which has the shape of the differentiable input: dE/d(input) on the CPU in
  /// float64.
  virtual void pull_back(System const& system, torch::Tensor const& derivative,
                         Request const& request, Result& result) const = 0;

  /// Forward's second output is dE/d(input) times this. Models of coordinates return forces (-1),
  /// the others derivatives (+1).
  [[nodiscard]] virtual double returned_sign() const { return 1.0; }

  /// The particle of each row of a per-particle energy.
  [[nodiscard]] virtual std::int64_t particle_of_row(std::int64_t row) const { return row; }
};

/// Settings of a builder, the same for all systems.
struct InputSettings {
  ModelSpec spec;
  std::vector<std::int64_t> species_codes;  ///< the argument of forward for each species
  std::shared_ptr<descriptor::Descriptor const> descriptor;  ///< of the convention `descriptor`
  std::vector<std::string> argument_names;
  torch::Device device = torch::kCPU;
  Folding folding = Folding::off;  ///< of the convention `edges`
  ListPolicy neighbors = ListPolicy::as_given;
};

/// Checks that forward's arguments fit the convention (throws Error) and makes its builder.
std::unique_ptr<InputBuilder> make_input_builder(InputSettings settings);

std::unique_ptr<InputBuilder> make_raw_inputs(InputSettings settings);
std::unique_ptr<InputBuilder> make_graph_inputs(InputSettings settings);
std::unique_ptr<InputBuilder> make_edge_inputs(InputSettings settings);
std::unique_ptr<InputBuilder> make_descriptor_inputs(InputSettings settings);

}  // namespace torchml
