// A model ready to evaluate systems: the engine's front door.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inputs.hpp"
#include "model_spec.hpp"
#include "result.hpp"
#include "system.hpp"
#include "torchscript_model.hpp"

namespace torchml {

/// How a model gives its energy.
enum class EnergyKind { total, per_contributing, per_particle };

std::string_view to_string(EnergyKind kind);

/// Everything that decides how a model is opened.
struct PotentialOptions {
  std::filesystem::path model;         ///< the TorchScript archive
  std::vector<Declaration> declared;   ///< from a .param file or keywords; metadata is added
  std::string device = "cpu";          ///< cpu, cuda or cuda:K
  int node_local_rank = 0;             ///< chooses among GPUs for the device "cuda"
  bool force_atomic_numbers = false;   ///< give forward atomic numbers whatever it declares
};

/// Immutable once made; evaluations keep their state in an Evaluator each.
class Potential {
 public:
  /// Opens the model, checks that its declarations, signature and element type agree, and runs it
  /// once on a few particles, so that a model that cannot work is refused here and not in the
  /// middle of a simulation. Throws Error.
  explicit Potential(PotentialOptions const& options);

  [[nodiscard]] ModelSpec const& spec() const { return settings_.spec; }
  [[nodiscard]] EnergyKind energy_kind() const { return energy_kind_; }
  [[nodiscard]] torch::Device device() const { return model_->device(); }
  [[nodiscard]] TorchScriptModel const& model() const { return *model_; }
  [[nodiscard]] InputSettings const& input_settings() const { return settings_; }

 private:
  void probe();

  InputSettings settings_;
  std::unique_ptr<TorchScriptModel> model_;
  EnergyKind energy_kind_ = EnergyKind::per_particle;
};

/// Evaluates one system after the other; not to be shared between threads, but many may share a
/// Potential.
class Evaluator {
 public:
  explicit Evaluator(Potential const& potential);

  /// Computes what is requested of `system`. Throws Error (non-finite input or output, output of
  /// a wrong shape or type, a failing model) and then leaves `result` unspecified.
  void evaluate(System const& system, Request const& request, Result& result);

 private:
  friend class Potential;
  EnergyKind run(System const& system, Request const& request, Result& result);

  Potential const& potential_;
  std::unique_ptr<InputBuilder> inputs_;
};

}  // namespace torchml
