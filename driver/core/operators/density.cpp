#include "operators/density.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <string>
#include <vector>

#include "operators/density_kernel.hpp"
#include "operators/edge_order.hpp"
#include "operators/spline.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

[[noreturn]] void refuse_density(std::string const& what) {
  throw Error("torchml::density: " + what);
}

/// Contiguous inputs, which the kernel's view of them keeps alive.
template <class Real>
class PreparedDensity {
 public:
  explicit PreparedDensity(DensityInputs const& inputs)
      : order(inputs.order),
        vectors_(inputs.vectors.contiguous()),
        species_(inputs.species.contiguous()),
        core_(inputs.core.contiguous()),
        weights_(inputs.weights.contiguous()),
        table_(inputs.table.contiguous()) {
    auto const functions = spline_of<Real>(table_, inputs.cutoff);
    density = {functions.coefficients,
               functions.intervals,
               functions.width,
               inputs.cutoff,
               static_cast<int>(inputs.lmax),
               weights_.template const_data_ptr<Real>(),
               weights_.size(1),
               weights_.size(0),
               core_.template const_data_ptr<double>()};
  }

  [[nodiscard]] DensityEdges edges_of(std::int64_t node) const {
    auto const first = order.by_target.offsets[node];
    auto const* const species = species_.template const_data_ptr<std::int64_t>();
    return {vectors_.template const_data_ptr<double>(),
            order.by_target.edges + first,
            order.by_target.others + first,
            order.by_target.offsets[node + 1] - first,
            species,
            species[node]};
  }

  /// f(node, scratch) for nodes 0 .. nodes.
  template <class Function>
  void each_node(std::int64_t nodes, Function const& f) const {
    // Nodes of one share of the work of a thread.
    auto const grain = std::max<std::int64_t>(1, nodes * kGrain / 4 / (order.edges + 1));
    at::parallel_for(0, nodes, grain, [&](std::int64_t begin, std::int64_t end) {
      std::vector<Real> scratch(density_scratch(density));
      for (auto node = begin; node < end; ++node) f(node, scratch.data());
    });
  }

  EdgeOrder order;
  Density<Real> density{};

 private:
  torch::Tensor vectors_;
  torch::Tensor species_;
  torch::Tensor core_;
  torch::Tensor weights_;
  torch::Tensor table_;
};

void check_core(DensityInputs const& inputs) {
  auto const core = inputs.core.contiguous();
  auto const* const b = core.const_data_ptr<double>();
  for (std::int64_t k = 0; k < core.numel(); ++k)
    if (!(b[k] >= 0.0 && b[k] <= inputs.cutoff))
      refuse_density("the core of species " + std::to_string(k / core.size(1)) + " and " +
                     std::to_string(k % core.size(1)) + " is " + std::to_string(b[k]) +
                     " Å, expected 0 to the cutoff, " + std::to_string(inputs.cutoff) + " Å");
}

/// What tensors contain, as far as the kernel depends on it.
void check_contents(DensityInputs const& inputs, std::int64_t nodes) {
  check_core(inputs);
  EdgeOrder const order(inputs.order);
  auto const edges = inputs.vectors.size(0);
  if (edges != order.edges)
    refuse_density("there are " + std::to_string(edges) + " vectors, expected " +
                   std::to_string(order.edges) + ", the edges of the order");
  if (nodes > order.nodes)
    refuse_density("densities at " + std::to_string(nodes) +
                   " nodes are asked for, expected at most " + std::to_string(order.nodes));
  auto const known = inputs.species.size(0);
  if (known < order.nodes)
    refuse_density("there are species of " + std::to_string(known) + " nodes, expected " +
                   std::to_string(order.nodes));
  auto const species = inputs.species.contiguous();
  auto const* const z = species.const_data_ptr<std::int64_t>();
  auto const count = inputs.weights.size(0);
  for (std::int64_t node = 0; node < known; ++node)
    if (z[node] < 0 || z[node] >= count)
      refuse_density("node " + std::to_string(node) + " has species " + std::to_string(z[node]) +
                     ", expected 0 to " + std::to_string(count - 1));
}

void check_gradient(torch::Tensor const& gradient, DensityInputs const& inputs) {
  auto const rows = (inputs.lmax + 1) * (inputs.lmax + 1);
  auto const columns = inputs.weights.size(1) * inputs.table.size(1);
  if (gradient.dim() != 3 || gradient.size(1) != rows || gradient.size(2) != columns ||
      gradient.scalar_type() != inputs.table.scalar_type())
    refuse_density("the gradient does not fit, expected [nodes, " + std::to_string(rows) + ", " +
                   std::to_string(columns) + "] of the table's type");
}

void check_directions(torch::Tensor const& directions, DensityInputs const& inputs) {
  if (directions.sizes() != inputs.vectors.sizes() || directions.scalar_type() != torch::kFloat64)
    refuse_density("the directions do not fit the vectors, expected float64 [" +
                   std::to_string(inputs.vectors.size(0)) + ", 3]");
}

torch::Tensor empty_density(DensityInputs const& inputs, std::int64_t nodes) {
  return torch::empty(
      {nodes, (inputs.lmax + 1) * (inputs.lmax + 1), inputs.weights.size(1) * inputs.table.size(1)},
      inputs.table.options());
}

}  // namespace

void check_density(DensityInputs const& inputs, std::int64_t nodes) {
  auto const& [vectors, species, edge_index, order, core, weights, table, cutoff, lmax] = inputs;
  if (vectors.dim() != 2 || vectors.size(1) != 3 || vectors.scalar_type() != torch::kFloat64)
    refuse_density("the vectors are not a table of float64, expected [E, 3]");
  if (edge_index.dim() != 2 || edge_index.size(0) != 2 || edge_index.size(1) != vectors.size(0) ||
      edge_index.scalar_type() != torch::kInt64)
    refuse_density("edge_index does not fit the vectors, expected i64 [2, " +
                   std::to_string(vectors.size(0)) + "]");
  if (species.dim() != 1 || species.scalar_type() != torch::kInt64)
    refuse_density("the species are not a vector of i64, expected one number for each node");
  check_spline("density", vectors.select(1, 0), table, cutoff);
  if (weights.dim() != 2 || weights.size(0) < 1 || weights.size(1) < 1 ||
      weights.scalar_type() != table.scalar_type())
    refuse_density("the weights do not fit, expected [species, channels] of the table's type");
  auto const count = weights.size(0);
  if (core.dim() != 2 || core.size(0) != count || core.size(1) != count ||
      core.scalar_type() != torch::kFloat64)
    refuse_density("the cores do not fit the weights, expected float64 [" + std::to_string(count) +
                   ", " + std::to_string(count) + "]");
  if (lmax < 0 || lmax > kMaxDegree)
    refuse_density("harmonics up to degree " + std::to_string(lmax) +
                   " are asked for, expected 0 to " + std::to_string(kMaxDegree));
  if (nodes < 0)
    refuse_density("densities at " + std::to_string(nodes) +
                   " nodes are asked for, expected 0 or more");
}

torch::Tensor density(DensityInputs const& inputs, std::int64_t nodes) {
  check_density(inputs, nodes);
  check_contents(inputs, nodes);
  auto result = empty_density(inputs, nodes);
  AT_DISPATCH_FLOATING_TYPES(result.scalar_type(), "torchml::density", [&] {
    PreparedDensity<scalar_t> const prepared(inputs);
    auto const size = prepared.density.rows() * prepared.density.columns();
    auto* const rows = result.template mutable_data_ptr<scalar_t>();
    prepared.each_node(nodes, [&](std::int64_t node, scalar_t* scratch) {
      density_kernel<scalar_t>().sum(prepared.density, prepared.edges_of(node), scratch,
                                     rows + node * size);
    });
  });
  return result;
}

torch::Tensor density_backward(torch::Tensor const& gradient, DensityInputs const& inputs) {
  check_density(inputs, 0);
  check_gradient(gradient, inputs);
  auto const nodes = gradient.size(0);
  check_contents(inputs, nodes);
  auto const cotangent = gradient.contiguous();
  auto const order = EdgeOrder(inputs.order);
  // Edges into nodes beyond those of the gradient have none.
  auto result = nodes < order.nodes
                    ? torch::zeros(inputs.vectors.sizes(), inputs.vectors.options())
                    : torch::empty(inputs.vectors.sizes(), inputs.vectors.options());
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "torchml::density_backward", [&] {
    PreparedDensity<scalar_t> const prepared(inputs);
    auto const size = prepared.density.rows() * prepared.density.columns();
    auto const* const rows = cotangent.template const_data_ptr<scalar_t>();
    auto* const by_vectors = result.mutable_data_ptr<double>();
    prepared.each_node(nodes, [&](std::int64_t node, scalar_t* scratch) {
      density_kernel<scalar_t>().gradients(prepared.density, prepared.edges_of(node),
                                           rows + node * size, scratch, by_vectors);
    });
  });
  return result;
}

torch::Tensor density_tangent(torch::Tensor const& directions, DensityInputs const& inputs,
                              std::int64_t nodes) {
  check_density(inputs, nodes);
  check_directions(directions, inputs);
  check_contents(inputs, nodes);
  auto const along = directions.contiguous();
  auto result = empty_density(inputs, nodes);
  AT_DISPATCH_FLOATING_TYPES(result.scalar_type(), "torchml::density_tangent", [&] {
    PreparedDensity<scalar_t> const prepared(inputs);
    auto const size = prepared.density.rows() * prepared.density.columns();
    auto* const rows = result.template mutable_data_ptr<scalar_t>();
    prepared.each_node(nodes, [&](std::int64_t node, scalar_t* scratch) {
      density_kernel<scalar_t>().tangent(prepared.density, prepared.edges_of(node),
                                         along.const_data_ptr<double>(), scratch,
                                         rows + node * size);
    });
  });
  return result;
}

}  // namespace torchml::operators
