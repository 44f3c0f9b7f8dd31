// The convention `descriptor`: forward(descriptor[, species]), one row per contributing particle.
// Forces and virials are the vector-Jacobian product with the derivative from autograd.
#include <ATen/Parallel.h>

#include <algorithm>

#include "graph/cached_neighbors.hpp"
#include "inputs/inputs.hpp"
#include "inputs/tensors.hpp"
#include "torchml/common/error.hpp"
#include "torchml/descriptor/compute.hpp"

namespace torchml {
namespace {

class DescriptorInputs final : public InputBuilder {
 public:
  explicit DescriptorInputs(InputSettings settings)
      : settings_(std::move(settings)), lists_(settings_.neighbors) {
    auto const& known = settings_.descriptor->cutoffs().species();
    for (auto const& species : settings_.spec.species)
      codes_.push_back(static_cast<int>(std::ranges::find(known, species) - known.begin()));
  }

  ModelInputs build(System const& system, bool gradient) override {
    gather(system);
    if (centers_.empty()) return {};
    auto const width = static_cast<std::int64_t>(settings_.descriptor->width());
    ModelInputs inputs;
    inputs.particles = static_cast<std::int64_t>(system.size());
    inputs.contributing = static_cast<std::int64_t>(centers_.size());
    rows_.assign(centers_.begin(), centers_.end());
    inputs.contributing_rows = tensor_of(rows_, {inputs.contributing}, torch::kCPU);
    values_.resize(static_cast<std::size_t>(inputs.contributing * width));
    descriptor::compute(*settings_.descriptor, atoms(system), values_, at::get_num_threads());
    inputs.differentiable = leaf_of(values_, {inputs.contributing, width},
                                    settings_.spec.input_type(), settings_.device, gradient);
    inputs.arguments = {inputs.differentiable};
    if (settings_.argument_names.size() > 1) {
      for (auto& row : rows_)
        row = settings_.species_codes[static_cast<std::size_t>(
            system.species[static_cast<std::size_t>(row)])];
      inputs.arguments.emplace_back(tensor_of(rows_, {inputs.contributing}, settings_.device));
    }
    return inputs;
  }

  void pull_back(System const& system, torch::Tensor const& derivative, Request const& request,
                 Result& result) const override {
    if (request.edge_terms)
      throw Error("dE/dr of pairs was requested, expected a model of the convention 'edges'");
    descriptor::AtomGradient gradient;
    if (request.forces) gradient.positions = result.forces;
    if (request.virial) gradient.virial = &result.kim_virial;
    if (request.particle_virials) gradient.particle_virials = result.kim_particle_virials;
    descriptor::pull_back(*settings_.descriptor, atoms(system),
                          {derivative.data_ptr<double>(), values_.size()}, gradient,
                          at::get_num_threads());
    if (request.forces)
      for (double& force : result.forces) force = -force;
  }

 private:
  /// The lists of the contributing particles; pairs beyond the cutoff are left to the descriptor.
  void gather(System const& system) {
    species_.resize(system.size());
    for (std::size_t i = 0; i < system.size(); ++i)
      species_[i] = codes_[static_cast<std::size_t>(system.species[i])];
    if (!lists_.rebuild(system, settings_.spec.cutoff, 1)) return;
    auto const centers = lists_.reached().first(lists_.reached_within(0));
    centers_.assign(centers.begin(), centers.end());
    offsets_.assign(1, 0);
    neighbors_.clear();
    for (int const center : centers_) {
      auto const list = lists_.neighbors(center);
      neighbors_.insert(neighbors_.end(), list.begin(), list.end());
      offsets_.push_back(static_cast<std::int64_t>(neighbors_.size()));
    }
  }

  [[nodiscard]] descriptor::Atoms atoms(System const& system) const {
    return {system.coordinates, species_, centers_, offsets_, neighbors_};
  }

  InputSettings settings_;
  CachedNeighbors lists_;
  std::vector<int> codes_;  ///< the descriptor's code of each species of the model
  std::vector<int> species_;
  std::vector<int> centers_;
  std::vector<std::int64_t> offsets_;
  std::vector<int> neighbors_;
  std::vector<std::int64_t> rows_;  ///< an integer for each row of the descriptor
  std::vector<double> values_;
};

}  // namespace

std::unique_ptr<InputBuilder> make_descriptor_inputs(InputSettings settings) {
  return std::make_unique<DescriptorInputs>(std::move(settings));
}

}  // namespace torchml
