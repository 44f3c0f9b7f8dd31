// The convention `raw`: forward(species, coords, n_neigh, nlist, contributing), where
// contributing is 1 for contributing particles and 0 for ghosts.
#include <numeric>

#include "graph/cached_neighbors.hpp"
#include "graph/shell_graph.hpp"
#include "inputs/particle_inputs.hpp"
#include "inputs/tensors.hpp"

namespace torchml {
namespace {

class RawInputs final : public ParticleInputs {
 public:
  explicit RawInputs(InputSettings settings)
      : ParticleInputs(std::move(settings)), lists_(settings_.neighbors) {}

  ModelInputs build(System const& given, bool gradient) override {
    ModelInputs inputs;
    // One shell: the edges into the contributing particles are their filtered lists in order.
    lists_.rebuild(given, settings_.spec.cutoff, 1);
    if (lists_.reached_within(0) == 0) return inputs;
    System const system = lists_.present(given);
    all_.resize(system.size());
    std::iota(all_.begin(), all_.end(), 0);
    begin(system, all_, gradient, 0, inputs);
    graph_.build(system, lists_, settings_.spec.cutoff, 1);
    counts_.assign(inputs.contributing, 0);
    list_.clear();
    for (std::size_t e = 0; e < graph_.sources.size(); ++e) {
      ++counts_[graph_.targets[e]];
      list_.push_back(static_cast<std::int32_t>(graph_.nodes[graph_.sources[e]]));
    }
    auto const& device = settings_.device;
    inputs.arguments = {
        species(), inputs.differentiable, tensor_of(counts_, {inputs.contributing}, device),
        tensor_of(list_, {static_cast<std::int64_t>(list_.size())}, device), contributing(1, 0)};
    return inputs;
  }

 private:
  std::vector<std::int64_t> all_;
  CachedNeighbors lists_;
  ShellGraph graph_;
  std::vector<std::int32_t> counts_;
  std::vector<std::int32_t> list_;
};

}  // namespace

std::unique_ptr<InputBuilder> make_raw_inputs(InputSettings settings) {
  return std::make_unique<RawInputs>(std::move(settings));
}

}  // namespace torchml
