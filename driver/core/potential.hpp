// A model ready to evaluate systems.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "energy_kind.hpp"
#include "host/runtime_settings.hpp"
#include "result.hpp"
#include "spec/model_declaration.hpp"
#include "system.hpp"

namespace torchml {

/// Everything that decides how a model is opened.
struct PotentialOptions {
  std::filesystem::path model = {};        ///< the archive
  std::vector<Declaration> declared = {};  ///< from a .param file or keywords; metadata is added
  RuntimeSettings settings = {};           ///< the device among them
};

/// Immutable once made; evaluations keep their state in an Evaluator each.
class Potential {
 public:
  /// Opens the model, checks that its declarations, signature and element type agree, and runs it
  /// once on a few particles, so that a model that cannot work is refused here and not in the
  /// middle of a simulation. Throws Error.
  explicit Potential(PotentialOptions const& options);
  ~Potential();
  Potential(Potential const&) = delete;
  Potential& operator=(Potential const&) = delete;

  [[nodiscard]] ModelSpec const& spec() const;
  [[nodiscard]] EnergyKind energy_kind() const;
  [[nodiscard]] std::string device() const;  ///< cpu or cuda:K

  /// Names of the arguments of forward.
  [[nodiscard]] std::vector<std::string> const& argument_names() const;

 private:
  friend class Evaluator;
  struct Opened;
  std::unique_ptr<Opened const> opened_;
};

struct EvaluatorOptions {
  bool folding = true;  ///< ghosts may be proved to be images, where the settings permit that
};

/// Evaluates systems, one after the other. Each thread needs its own; many may share a Potential,
/// which must outlive them.
class Evaluator {
 public:
  explicit Evaluator(Potential const& potential, EvaluatorOptions const& options = {});
  ~Evaluator();
  Evaluator(Evaluator const&) = delete;
  Evaluator& operator=(Evaluator const&) = delete;

  /// Computes what is requested of `system`. Throws Error (non-finite input or output, output of
  /// a wrong shape or type, a failing model) and then leaves `result` unspecified.
  void evaluate(System const& system, Request const& request, Result& result);

 private:
  Potential::Opened const& opened_;
  std::unique_ptr<class InputBuilder> inputs_;
  bool warned_ = false;
};

}  // namespace torchml
