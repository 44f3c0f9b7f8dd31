// A TorchScript archive: its signature, and calling its forward().
#pragma once

#include <array>
#include <filesystem>

#include "model/extensions.hpp"
#include "model/model.hpp"

namespace torchml {

/// A method forward in TorchScript.
class TorchScriptModel final : public Model {
 public:
  /// Loads operator libraries first, then the archive. Throws Error with one sentence that names
  /// the file.
  TorchScriptModel(std::filesystem::path const& path, Extensions const& extensions,
                   torch::Device device);

  /// Names of forward's arguments without self and those with a default.
  [[nodiscard]] std::vector<std::string> const& argument_names() const override {
    return arguments_;
  }

  /// Element type of most of the parameters (of buffers or constants if there are none); nothing
  /// for a model without floating-point data.
  [[nodiscard]] std::optional<ScalarType> dtype() const override { return dtype_; }

  [[nodiscard]] bool holds(ScalarType dtype) const override {
    return holds_[dtype == ScalarType::float32 ? 0 : 1];
  }

  [[nodiscard]] bool returns_tuple() const override { return returns_tuple_; }

  [[nodiscard]] bool differentiates() const override { return differentiates_; }

  [[nodiscard]] torch::Device device() const override { return device_; }

  /// Calls forward without the profiling executor, whose first runs are slow and differ in the
  /// last bit.
  [[nodiscard]] ModelOutput forward(std::vector<c10::IValue> const& inputs) const override;

  [[nodiscard]] bool has_members() const override;

  [[nodiscard]] std::vector<torch::Tensor> member_energies(
      std::vector<c10::IValue> const& inputs) const override;

 private:
  [[nodiscard]] c10::IValue call(char const* method, std::vector<c10::IValue> const& inputs) const;

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
