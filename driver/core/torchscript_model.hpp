// A TorchScript archive: its metadata, its signature, and calling its forward().
#pragma once

#include <torch/script.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model_spec.hpp"

namespace torchml {

/// Reads the extra files `torchml/<key>` of an archive without loading its code.
/// Throws Error when the file is missing or is not a TorchScript archive.
Declaration read_metadata(std::filesystem::path const& path);

/// What forward returned.
struct ModelOutput {
  torch::Tensor energy;
  torch::Tensor derivative;  ///< undefined unless the model returns one
};

/// A loaded model on one device. Immutable: calls from several threads do not disturb each other.
class TorchScriptModel {
 public:
  /// Loads operator libraries first, then the archive. Throws Error with one sentence that names
  /// the file.
  TorchScriptModel(std::filesystem::path const& path, std::vector<std::string> const& extensions,
                   torch::Device device);

  /// Names of forward's arguments without self and those with a default.
  [[nodiscard]] std::vector<std::string> const& argument_names() const { return arguments_; }

  /// Element type of most of the parameters (of buffers or constants if there are none); nothing
  /// for a model without floating-point data.
  [[nodiscard]] std::optional<ScalarType> dtype() const { return dtype_; }

  /// Some of the model's data are of this type.
  [[nodiscard]] bool holds(ScalarType dtype) const {
    return holds_[dtype == ScalarType::float32 ? 0 : 1];
  }

  /// forward is declared to return two values.
  [[nodiscard]] bool returns_tuple() const { return returns_tuple_; }

  /// forward differentiates by itself, so it needs gradients switched on.
  [[nodiscard]] bool differentiates() const { return differentiates_; }

  [[nodiscard]] torch::Device device() const { return device_; }

  /// Calls forward without the profiling executor, whose first runs are slow and differ in the
  /// last bit. Throws Error when forward throws or returns something that is no tensor or tuple
  /// of tensors.
  [[nodiscard]] ModelOutput forward(std::vector<c10::IValue> const& inputs) const;

 private:
  std::string name_;
  torch::Device device_;
  torch::jit::Module module_;
  std::vector<std::string> arguments_;
  std::optional<ScalarType> dtype_;
  std::array<bool, 2> holds_{};
  bool returns_tuple_ = false;
  bool differentiates_ = false;
};

}  // namespace torchml
