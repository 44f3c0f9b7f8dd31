#include "inputs/particle_inputs.hpp"

#include <algorithm>

#include "inputs/tensors.hpp"
#include "torchml/common/error.hpp"

namespace torchml {

void ParticleInputs::begin(System const& system, std::span<std::int64_t const> particles,
                           bool gradient, std::int64_t padding, ModelInputs& inputs) {
  particles_.assign(particles.begin(), particles.end());
  inputs.particles = static_cast<std::int64_t>(particles_.size()) + padding;
  species_.clear();
  rows_.clear();
  coordinates_.clear();
  for (auto const i : particles_) {
    if (system.contributing[i] != 0) rows_.push_back(static_cast<std::int64_t>(species_.size()));
    species_.push_back(settings_.species_codes[system.species[i]]);
    auto const x = system.coordinates.subspan(3 * static_cast<std::size_t>(i), 3);
    coordinates_.insert(coordinates_.end(), x.begin(), x.end());
  }
  species_.resize(inputs.particles, species_.front());
  inputs.contributing = static_cast<std::int64_t>(rows_.size());
  inputs.contributing_rows = tensor_of(rows_, {inputs.contributing}, torch::kCPU);
  if (settings_.spec.input_type() == ScalarType::float32) centre();
  constexpr double far_away = 1000.0;  // Å, so that models that look at distances see none
  for (std::int64_t i = 0; i < 3 * padding; ++i)
    coordinates_.push_back(coordinates_[i % 3] + far_away);
  inputs.differentiable = leaf_of(coordinates_, {inputs.particles, 3}, settings_.spec.input_type(),
                                  settings_.device, gradient);
}

void ParticleInputs::centre() {
  // Far from the origin float32 has no digits left for distances, and the energy does not depend on
  // the origin. The median, because one stray particle must not shift it.
  auto const particles = particles_.size();
  std::vector<double> values(particles);
  for (int axis = 0; axis < 3; ++axis) {
    for (std::size_t i = 0; i < particles; ++i) values[i] = coordinates_[3 * i + axis];
    auto const median = values.begin() + static_cast<std::ptrdiff_t>(particles / 2);
    std::nth_element(values.begin(), median, values.end());
    for (std::size_t i = 0; i < particles; ++i) coordinates_[3 * i + axis] -= *median;
  }
}

torch::Tensor ParticleInputs::species() {
  return tensor_of(species_, {static_cast<std::int64_t>(species_.size())}, settings_.device);
}

torch::Tensor ParticleInputs::contributing(std::int64_t contributing_flag,
                                           std::int64_t ghost_flag) {
  flags_.assign(species_.size(), ghost_flag);
  for (auto const row : rows_) flags_[row] = contributing_flag;
  return tensor_of(flags_, {static_cast<std::int64_t>(flags_.size())}, settings_.device);
}

void ParticleInputs::pull_back(System const& system, torch::Tensor const& derivative,
                               Request const& request, Result& result) const {
  double const* const gradient = derivative.data_ptr<double>();
  if (request.forces) {
    for (std::size_t row = 0; row < particles_.size(); ++row)
      for (int axis = 0; axis < 3; ++axis)
        result.forces[3 * particles_[row] + axis] = -gradient[3 * row + axis];
  }
  if (request.edge_terms)
    throw Error("dE/dr of pairs was requested, expected a model of the convention 'edges'");
  if (!request.virial && !request.particle_virials) return;

  // The share of a particle is its own dE/dx (x) x. KIM-API requires only that the shares sum to
  // the virial; a share is not a local stress, which only models of edges give.
  for (std::size_t row = 0; row < particles_.size(); ++row) {
    auto const particle = static_cast<std::size_t>(particles_[row]);
    Virial const share =
        symmetric_product(gradient + 3 * row, system.coordinates.data() + 3 * particle);
    for (std::size_t c = 0; c < 6; ++c) result.kim_virial[c] += share[c];
    if (request.particle_virials)
      std::ranges::copy(share, result.kim_particle_virials.begin() + 6 * particle);
  }
}

}  // namespace torchml
