// A model that can be called, from any kind of archive.
#pragma once

#include <torch/script.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spec/model_declaration.hpp"

namespace torchml {

/// The values that forward returned.
struct ModelOutput {
  torch::Tensor energy;
  torch::Tensor derivative;  ///< undefined unless the model returns one
};

/// A loaded model on one device. Immutable: calls from several threads do not disturb each other.
class Model {
 public:
  virtual ~Model() = default;

  /// Names of forward's arguments, without those that a caller may omit.
  [[nodiscard]] virtual std::vector<std::string> const& argument_names() const = 0;

  /// Element type of the model's floating-point data; nothing for a model without any.
  [[nodiscard]] virtual std::optional<ScalarType> dtype() const = 0;

  /// Some of the model's data are of this type.
  [[nodiscard]] virtual bool holds(ScalarType dtype) const = 0;

  /// forward is declared to return two values: the energy and a derivative.
  [[nodiscard]] virtual bool returns_tuple() const = 0;

  /// forward calls autograd, so it needs gradients switched on.
  [[nodiscard]] virtual bool differentiates() const = 0;

  [[nodiscard]] virtual torch::Device device() const = 0;

  /// Calls forward. Throws Error when it fails or returns something else than one or two tensors.
  [[nodiscard]] virtual ModelOutput forward(std::vector<c10::IValue> const& inputs) const = 0;

  /// The energy that forward returns, to rounding; cheaper where the model computes it alone.
  /// Throws Error as forward does.
  [[nodiscard]] virtual torch::Tensor energy(std::vector<c10::IValue> const& inputs) const {
    return forward(inputs).energy;
  }

  /// The method member_energies exists, which takes the arguments of forward.
  [[nodiscard]] virtual bool has_members() const { return false; }

  /// Calls member_energies: of each member the energies of the contributing particles. They are
  /// tensors of their own, so that the gradient of one member leaves the others alone. Throws Error
  /// when it fails, returns something else than a list of tensors, or does not exist.
  [[nodiscard]] virtual std::vector<torch::Tensor> member_energies(
      std::vector<c10::IValue> const& inputs) const;

 protected:
  Model() = default;
  Model(Model const&) = default;
  Model& operator=(Model const&) = default;
};

}  // namespace torchml
