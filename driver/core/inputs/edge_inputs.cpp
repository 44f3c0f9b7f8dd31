// The convention `edges`: forward(species, edge_vectors, edge_index, contributing[, node_counts]
// [, edge_counts]). The model sees vectors instead of coordinates, so dE/d(vector) is all that
// forces, virials and dE/dr terms need; and a ghost that is the image of another particle need not
// be a node of its own, since its edges still have their own vectors.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "graph/cached_neighbors.hpp"
#include "graph/ghost_folding.hpp"
#include "graph/shell_graph.hpp"
#include "host/parts.hpp"
#include "inputs/inputs.hpp"
#include "inputs/tensors.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

/// Forces of this many edges are added in parts.
constexpr std::int64_t kEdgesOfSums = 65536;
constexpr std::int64_t kSums = 8;

/// The longest edges into ghosts.
double of_ghosts(std::span<double const> cutoffs) {
  return cutoffs.size() > 1 ? cutoffs[1] : cutoffs.front();
}

class EdgeInputs final : public InputBuilder {
 public:
  explicit EdgeInputs(InputSettings settings)
      : settings_(std::move(settings)), lists_(settings_.neighbors), folding_(settings_.folding) {
    auto const& names = settings_.argument_names;
    for (auto name = names.begin() + 4; name != names.end(); ++name)
      if (*name != "node_counts" && *name != "edge_counts")
        throw Error("forward takes an argument '" + *name +
                    "', expected only node_counts and edge_counts after contributing for the "
                    "convention 'edges'");
  }

  ModelInputs build(System const& given, bool gradient) override {
    auto const& spec = settings_.spec;
    auto const cutoffs = spec.cutoffs();
    bool const known = !given.owners.empty();  // then all nodes are contributing particles
    bool const renewed =
        lists_.rebuild(given, std::span(cutoffs).first(known ? 1 : cutoffs.size()));
    if (lists_.reached_within(0) == 0) return {};
    System const system = lists_.present(given);
    auto const owners =
        known ? system.owners : folding_.owners(system, lists_, renewed, of_ghosts(cutoffs));
    graph_.build(system, lists_, cutoffs, owners);
    auto const nodes = static_cast<std::int64_t>(graph_.nodes.size());
    auto const edges = static_cast<std::int64_t>(graph_.sources.size());
    auto const& device = settings_.device;

    ModelInputs inputs;
    inputs.particles = nodes;
    inputs.contributing = graph_.node_counts.front();
    inputs.contributing_rows = torch::arange(inputs.contributing, torch::kInt64);
    inputs.differentiable =
        leaf_of(graph_.vectors, {edges, 3}, spec.input_type(), device, gradient);
    auto const species = filled<std::int64_t>({nodes}, device, [&](auto codes) {
      for (std::size_t n = 0; n < codes.size(); ++n)
        codes[n] = settings_.species_codes[system.species[graph_.nodes[n]]];
    });
    auto const edge_index = filled<std::int64_t>({2, edges}, device, [&](auto index) {
      for_parts(edges, parts_for_threads(edges, kNumbersOfPart), [&](auto, auto begin, auto end) {
        std::copy_n(graph_.sources.begin() + begin, end - begin, index.begin() + begin);
        std::copy_n(graph_.targets.begin() + begin, end - begin, index.begin() + edges + begin);
      });
    });
    auto const contributing = filled<std::int64_t>({nodes}, device, [&](auto flags) {
      std::ranges::fill(flags, 1);
      std::ranges::fill(flags.first(inputs.contributing), 0);
    });
    inputs.arguments = {species, inputs.differentiable, edge_index, contributing};
    auto const& names = settings_.argument_names;
    for (auto name = names.begin() + 4; name != names.end(); ++name)
      inputs.arguments.emplace_back(*name == "node_counts" ? graph_.node_counts
                                                           : graph_.edge_counts);
    return inputs;
  }

  void pull_back(System const& system, torch::Tensor const& derivative, Request const& request,
                 Result& result) const override;

  [[nodiscard]] std::int64_t particle_of_row(std::int64_t row) const override {
    return graph_.nodes[row];
  }

 private:
  void add_edges(double const* gradient, std::int64_t begin, std::int64_t end,
                 Request const& request, Result& result) const;
  void add_sums(std::vector<double> Result::* values, Result& result) const;
  void collect_edge_terms(double const* gradient, Result& result) const;

  InputSettings settings_;
  CachedNeighbors lists_;
  GhostFolding folding_;
  ShellGraph graph_;
  mutable std::array<Result, kSums> sums_;  ///< scratch
};

/// Parts of many edges are added to results of their own, and these in their order: sums do not
/// depend on the number of threads.
void EdgeInputs::pull_back(System const& system, torch::Tensor const& derivative,
                           Request const& request, Result& result) const {
  double const* const gradient = derivative.data_ptr<double>();
  auto const edges = static_cast<std::int64_t>(graph_.sources.size());
  if (edges < kEdgesOfSums) {
    add_edges(gradient, 0, edges, request, result);
  } else {
    Request const sums{.energy = false,
                       .forces = request.forces,
                       .virial = request.virial,
                       .particle_virials = request.particle_virials};
    for_parts(edges, kSums, [&](std::int64_t part, std::int64_t begin, std::int64_t end) {
      sums_[part].clear(system.size(), sums);
      add_edges(gradient, begin, end, sums, sums_[part]);
    });
    for (auto const& part : sums_)
      for (std::size_t c = 0; c < 6; ++c) result.kim_virial[c] += part.kim_virial[c];
    if (request.forces) add_sums(&Result::forces, result);
    if (request.particle_virials) add_sums(&Result::kim_particle_virials, result);
  }
  if (request.edge_terms) collect_edge_terms(gradient, result);
}

void EdgeInputs::add_edges(double const* gradient, std::int64_t begin, std::int64_t end,
                           Request const& request, Result& result) const {
  Virial virial{};
  for (auto e = begin; e < end; ++e) {
    double const* const g = gradient + 3 * e;
    double const* const v = graph_.vectors.data() + 3 * e;
    std::int64_t const source = graph_.source_particles[e];
    auto const target = graph_.nodes[graph_.targets[e]];
    if (request.forces) {
      for (int axis = 0; axis < 3; ++axis) {
        result.forces[3 * source + axis] -= g[axis];
        result.forces[3 * target + axis] += g[axis];
      }
    }
    if (!request.virial && !request.particle_virials) continue;
    Virial const share = symmetric_product(g, v);
    for (std::size_t c = 0; c < 6; ++c) {
      virial[c] += share[c];
      if (request.particle_virials) {  // half to either end, as LAMMPS divides pairs
        result.kim_particle_virials[6 * source + c] += 0.5 * share[c];
        result.kim_particle_virials[6 * target + c] += 0.5 * share[c];
      }
    }
  }
  for (std::size_t c = 0; c < 6; ++c) result.kim_virial[c] += virial[c];
}

void EdgeInputs::add_sums(std::vector<double> Result::* values, Result& result) const {
  auto const count = static_cast<std::int64_t>((result.*values).size());
  for_parts(count, parts_for_threads(count, kNumbersOfPart), [&](auto, auto begin, auto end) {
    for (auto const& part : sums_)
      for (auto k = begin; k < end; ++k) (result.*values)[k] += (part.*values)[k];
  });
}

void EdgeInputs::collect_edge_terms(double const* gradient, Result& result) const {
  if (!settings_.spec.radial)
    throw Error(
        "dE/dr of pairs was requested, expected a model of the convention 'edges' whose "
        "metadata contain radial = true: an energy of distances only");
  double const tolerance = settings_.spec.input_type() == ScalarType::float32 ? 1e-3 : 1e-8;
  for (std::size_t e = 0; e < graph_.sources.size(); ++e) {
    double const* const g = gradient + 3 * e;
    double const* const v = graph_.vectors.data() + 3 * e;
    double const r = std::hypot(v[0], v[1], v[2]);
    double const dedr = (g[0] * v[0] + g[1] * v[1] + g[2] * v[2]) / r;
    double const norm = std::hypot(g[0], g[1], g[2]);
    double const along = dedr / r;
    double const across = std::hypot(g[0] - along * v[0], g[1] - along * v[1], g[2] - along * v[2]);
    if (!(across <= tolerance * (1.0 + norm)))
      throw Error(
          "the gradient of an edge is not parallel to the edge although the metadata contain "
          "radial = true, expected an energy of distances only");
    result.edge_terms.push_back({static_cast<int>(graph_.nodes[graph_.targets[e]]),
                                 graph_.source_particles[e],
                                 r,
                                 {v[0], v[1], v[2]},
                                 dedr});
  }
}

}  // namespace

std::unique_ptr<InputBuilder> make_edge_inputs(InputSettings settings) {
  return std::make_unique<EdgeInputs>(std::move(settings));
}

}  // namespace torchml
