#include "particle_inputs.hpp"

#include <algorithm>

#include "error.hpp"
#include "tensors.hpp"

namespace torchml {

void ParticleInputs::begin(System const& system, bool gradient, std::int64_t padding,
                           ModelInputs& inputs) {
  auto const particles = static_cast<std::int64_t>(system.size());
  inputs.particles = particles + padding;
  species_.resize(inputs.particles);
  rows_.clear();
  for (std::int64_t i = 0; i < particles; ++i) {
    species_[i] = settings_.species_codes[system.species[i]];
    if (system.contributing[i] != 0) rows_.push_back(i);
  }
  std::fill(species_.begin() + particles, species_.end(), species_.front());
  inputs.contributing = static_cast<std::int64_t>(rows_.size());
  inputs.contributing_rows = tensor_of(rows_, {inputs.contributing}, torch::kCPU);

  std::span<double const> coordinates = system.coordinates;
  bool const single = settings_.spec.dtype == ScalarType::float32;
  if (padding > 0 || single) {
    coordinates_.assign(coordinates.begin(), coordinates.end());
    if (single) centre(particles);
    constexpr double far_away = 1000.0;  // Å, so that models that look at distances see none
    for (std::int64_t i = 0; i < 3 * padding; ++i)
      coordinates_.push_back(coordinates_[i % 3] + far_away);
    coordinates = coordinates_;
  }
  inputs.differentiable =
      leaf_of(coordinates, {inputs.particles, 3}, settings_.spec.dtype, settings_.device, gradient);
}

void ParticleInputs::centre(std::int64_t particles) {
  // Far from the origin float32 has no digits left for distances; a potential does not see the
  // origin. The median, because one stray particle must not move it away from the others.
  std::vector<double> values(particles);
  for (int axis = 0; axis < 3; ++axis) {
    for (std::int64_t i = 0; i < particles; ++i) values[i] = coordinates_[3 * i + axis];
    auto const median = values.begin() + particles / 2;
    std::nth_element(values.begin(), median, values.end());
    for (std::int64_t i = 0; i < particles; ++i) coordinates_[3 * i + axis] -= *median;
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
  double const* const x = system.coordinates.data();
  auto const particles = system.size();
  if (request.forces) {
    result.forces.resize(3 * particles);
    for (std::size_t i = 0; i < 3 * particles; ++i) result.forces[i] = -gradient[i];
  }
  if (request.edge_terms)
    throw Error("dE/dr of pairs was asked for, expected a model of the convention 'edges'");
  if (!request.virial && !request.particle_virials) return;

  // The share of a particle is its own dE/dx (x) x: all that dE/dx tells. KIM-API asks only that
  // the shares sum to the virial; a share is no local stress, models of edges give that.
  result.virial.fill(0.0);
  if (request.particle_virials) result.particle_virials.resize(6 * particles);
  for (std::size_t i = 0; i < particles; ++i) {
    double const* const g = gradient + 3 * i;
    double const* const r = x + 3 * i;
    Virial const share = symmetric_product(g, r);
    for (std::size_t c = 0; c < 6; ++c) result.virial[c] += share[c];
    if (request.particle_virials)
      std::copy(share.begin(), share.end(), result.particle_virials.begin() + 6 * i);
  }
}

}  // namespace torchml
