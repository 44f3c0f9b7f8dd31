// A model compiled ahead of time by AOTInductor, a `.pt2` archive: energy and derivative in one
// call, without autograd. The archive holds the model twice, for one thread and for several, and
// in float64 the energy alone.
#pragma once

#include <filesystem>
#include <memory>

#include "model/aoti_inputs.hpp"
#include "model/extensions.hpp"
#include "model/model.hpp"
#include "spec/model_declaration.hpp"

namespace torchml {

/// The libraries in an archive, unpacked into the temporary folder and loaded. Models of equal
/// archives share them, and they stay until the process ends.
class AotiModel final : public Model {
 public:
  struct Libraries;

  /// Checks what the archive declares in its metadata before anything of it is loaded, then loads
  /// operator libraries and the archive. Throws Error with one sentence that names the file.
  AotiModel(std::filesystem::path const& path, Declaration const& metadata,
            Extensions const& extensions, torch::Device device);
  ~AotiModel() override;

  [[nodiscard]] std::vector<std::string> const& argument_names() const override {
    return inputs_->argument_names();
  }

  [[nodiscard]] std::optional<ScalarType> dtype() const override { return dtype_; }

  [[nodiscard]] bool holds(ScalarType dtype) const override { return inputs_->takes(dtype); }

  [[nodiscard]] bool returns_tuple() const override { return true; }

  [[nodiscard]] bool differentiates() const override { return false; }

  [[nodiscard]] torch::Device device() const override { return device_; }

  /// Calls from several threads run at the same time. Each takes the variant that fits
  /// at::get_num_threads() of the calling thread.
  [[nodiscard]] ModelOutput forward(std::vector<c10::IValue> const& inputs) const override;

  [[nodiscard]] torch::Tensor energy(std::vector<c10::IValue> const& inputs) const override;

 private:
  std::string name_;
  torch::Device device_;
  std::optional<AotiInputs> inputs_;
  std::optional<ScalarType> dtype_;
  std::shared_ptr<Libraries const> libraries_;
};

}  // namespace torchml
