// The convention `graph`: forward(species, coords, edge_index0..edge_index{n-1}, contributing),
// where contributing is 0 for contributing particles and 1 for ghosts (a batch index). Only the
// reached particles are passed, the contributing ones first.
#include "graph/cached_neighbors.hpp"
#include "graph/shell_graph.hpp"
#include "graph/staged_graph.hpp"
#include "inputs/particle_inputs.hpp"
#include "inputs/tensors.hpp"

namespace torchml {
namespace {

class GraphInputs final : public ParticleInputs {
 public:
  explicit GraphInputs(InputSettings settings)
      : ParticleInputs(std::move(settings)), lists_(settings_.neighbors) {}

  ModelInputs build(System const& given, bool gradient) override {
    ModelInputs inputs;
    lists_.rebuild(given, settings_.spec.cutoff, settings_.spec.layers);
    if (lists_.reached_within(0) == 0) return inputs;
    System const system = lists_.present(given);
    graph_.build(system, lists_, settings_.spec.cutoff, settings_.spec.layers);
    // Networks that squeeze() their outputs fail on a single particle; the original driver gave
    // them a second one that no edge reaches, and models rely on it.
    begin(system, graph_.nodes, gradient, graph_.nodes.size() == 1 ? 1 : 0, inputs);
    stage_edges(graph_, settings_.spec.directed, stages_);
    inputs.arguments = {species(), inputs.differentiable};
    for (auto& stage : stages_)
      inputs.arguments.emplace_back(
          tensor_of(stage, {2, static_cast<std::int64_t>(stage.size() / 2)}, settings_.device));
    inputs.arguments.emplace_back(contributing(0, 1));
    return inputs;
  }

 private:
  CachedNeighbors lists_;
  ShellGraph graph_;
  std::vector<EdgeIndex> stages_;
};

}  // namespace

std::unique_ptr<InputBuilder> make_graph_inputs(InputSettings settings) {
  return std::make_unique<GraphInputs>(std::move(settings));
}

}  // namespace torchml
