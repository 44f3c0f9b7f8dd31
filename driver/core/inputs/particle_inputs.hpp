// The common part of the conventions that pass particles (raw and graph).
#pragma once

#include <span>

#include "inputs/inputs.hpp"

namespace torchml {

/// Species, coordinates and forces of particles.
class ParticleInputs : public InputBuilder {
 public:
  explicit ParticleInputs(InputSettings settings) : settings_(std::move(settings)) {}

  void pull_back(System const& system, torch::Tensor const& derivative, Request const& request,
                 Result& result) const final;

  [[nodiscard]] double returned_sign() const final { return -1.0; }

  [[nodiscard]] std::int64_t particle_of_row(std::int64_t row) const final {
    return particles_[row];
  }

 protected:
  /// Fills counts, contributing rows and the coordinates of the given particles, one row each;
  /// `padding` appends ghosts that no edge reaches.
  void begin(System const& system, std::span<std::int64_t const> particles, bool gradient,
             std::int64_t padding, ModelInputs& inputs);

  /// Species of the particles and of the padding, as forward takes them: i64 [N].
  torch::Tensor species();

  /// Flags of the particles and of the padding: i64 [N].
  torch::Tensor contributing(std::int64_t contributing_flag, std::int64_t ghost_flag);

  InputSettings settings_;

 private:
  void centre();

  std::vector<std::int64_t> particles_;  ///< of each row, without the padding
  std::vector<std::int64_t> species_;
  std::vector<std::int64_t> flags_;
  std::vector<std::int64_t> rows_;
  std::vector<double> coordinates_;
};

}  // namespace torchml
