#include "operators/cluster_registration.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include "operators/cluster.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

#define TORCHML_CLUSTER_ARGUMENTS                                                            \
  "(Tensor vectors, Tensor species, Tensor edge_index, Tensor order, Tensor core, Tensor "   \
  "weights, Tensor table, Tensor mix, Tensor bias, Tensor coefficients, Tensor terms, int "  \
  "outputs, Tensor linear, Tensor[] layers, Tensor crowding, Tensor offset, Tensor vacuum, " \
  "float cutoff, int lmax, SymInt nodes) -> "

constexpr Schema kClusterEnergies = {"torchml::cluster_energies",
                                     "cluster_energies" TORCHML_CLUSTER_ARGUMENTS "Tensor"};
constexpr Schema kClusterWithSlopes = {"torchml::cluster_energies_with_slopes",
                                       "cluster_energies_with_slopes" TORCHML_CLUSTER_ARGUMENTS
                                       "(Tensor, Tensor)"};

constexpr Schema kClusterBackward = {
    "torchml::cluster_energies_backward",
    "cluster_energies_backward(Tensor gradient, Tensor slopes, Tensor edge_index) -> Tensor"};

#undef TORCHML_CLUSTER_ARGUMENTS

/// A function of the arguments of the schemas.
template <class Result, class Nodes>
using ClusterOperator = Result(at::Tensor const& vectors, at::Tensor const& species,
                               at::Tensor const& edge_index, at::Tensor const& order,
                               at::Tensor const& core, at::Tensor const& weights,
                               at::Tensor const& table, at::Tensor const& mix,
                               at::Tensor const& bias, at::Tensor const& coefficients,
                               at::Tensor const& terms, std::int64_t outputs,
                               at::Tensor const& linear, at::TensorList layers,
                               at::Tensor const& crowding, at::Tensor const& offset,
                               at::Tensor const& vacuum, double cutoff, std::int64_t lmax,
                               Nodes nodes);

/// The same arguments, taken together for `function`.
template <auto function, class Result, class Nodes>
Result clustered(at::Tensor const& vectors, at::Tensor const& species, at::Tensor const& edge_index,
                 at::Tensor const& order, at::Tensor const& core, at::Tensor const& weights,
                 at::Tensor const& table, at::Tensor const& mix, at::Tensor const& bias,
                 at::Tensor const& coefficients, at::Tensor const& terms, std::int64_t outputs,
                 at::Tensor const& linear, at::TensorList layers, at::Tensor const& crowding,
                 at::Tensor const& offset, at::Tensor const& vacuum, double cutoff,
                 std::int64_t lmax, Nodes nodes) {
  return function(
      {vectors, species, edge_index, order, core, weights, table, mix, bias, coefficients, terms,
       linear, layers.vec(), crowding, offset, vacuum, outputs, cutoff, lmax},
      std::move(nodes));
}

template <class Result>
Result call_cluster(Schema const& schema, ClusterInputs const& in, c10::SymInt const& nodes) {
  return handle<ClusterOperator<Result, c10::SymInt>>(schema).call(
      in.vectors, in.species, in.edge_index, in.order, in.core, in.weights, in.table, in.mix,
      in.bias, in.coefficients, in.terms, in.outputs, in.linear, in.layers, in.crowding, in.offset,
      in.vacuum, in.cutoff, in.lmax, nodes);
}

// --- shapes alone, for tracing

at::Tensor cluster_shape(ClusterInputs const& in, c10::SymInt nodes) {
  c10::SymDimVector sizes(in.linear.sym_sizes().begin(), in.linear.sym_sizes().end() - 1);
  sizes.push_back(std::move(nodes));
  return in.vectors.new_empty_symint(sizes);
}

std::tuple<at::Tensor, at::Tensor> cluster_with_slopes_shape(ClusterInputs const& in,
                                                             c10::SymInt nodes) {
  c10::SymDimVector sizes(in.linear.sym_sizes().begin(), in.linear.sym_sizes().end() - 1);
  sizes.append(in.vectors.sym_sizes().begin(), in.vectors.sym_sizes().end());
  return {cluster_shape(in, std::move(nodes)), in.vectors.new_empty_symint(sizes)};
}

at::Tensor cluster_backward_shape(at::Tensor const& /*gradient*/, at::Tensor const& slopes,
                                  at::Tensor const& /*edge_index*/) {
  return slopes.new_empty_symint(slopes.sym_sizes().slice(slopes.dim() - 2));
}

// --- derivatives

/// The derivatives cannot be differentiated again; an attempt raises an error.
struct ClusterBackwardFunction : Function<ClusterBackwardFunction> {
  static at::Tensor forward(AutogradContext*, at::Tensor const& gradient,
                            at::Tensor const& /*vectors*/, at::Tensor const& slopes,
                            at::Tensor const& edge_index) {
    at::AutoDispatchBelowADInplaceOrView const below;
    return handle<at::Tensor(at::Tensor const&, at::Tensor const&, at::Tensor const&)>(
               kClusterBackward)
        .call(gradient, slopes, edge_index);
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    throw Error(
        "torchml::cluster_energies: second derivatives do not exist, expected forces and their "
        "virial at most (train the model itself, not the one made for simulations)");
  }
};

struct ClusterFunction : Function<ClusterFunction> {
  static at::Tensor forward(AutogradContext* context, at::Tensor const& vectors,
                            at::TensorList parameters, ClusterInputs const& in,
                            c10::SymInt const& nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    auto const [energies, slopes] =
        call_cluster<std::tuple<at::Tensor, at::Tensor>>(kClusterWithSlopes, in, nodes);
    context->save_for_backward({vectors, slopes, in.edge_index});
    context->saved_data["parameters"] = static_cast<std::int64_t>(parameters.size());
    return energies;
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const parameters = static_cast<std::size_t>(context->saved_data["parameters"].toInt());
    for (std::size_t k = 1; k <= parameters; ++k)
      if (context->needs_input_grad(k))
        throw Error(
            "torchml::cluster_energies: derivatives by parameters do not exist, expected forces "
            "at most (train the model itself, not the one made for simulations)");
    variable_list all(1 + parameters + 2);
    all[0] = ClusterBackwardFunction::apply(gradients[0], saved[0], saved[1], saved[2]);
    return all;
  }
};

at::Tensor cluster_autograd(ClusterInputs const& in, c10::SymInt const& nodes) {
  if (!in.vectors.is_cpu() && !in.vectors.is_meta()) return composite_cluster_energies(in, nodes);
  if (at::GradMode::is_enabled() && in.vectors.requires_grad()) {
    variable_list parameters = {in.weights, in.table,    in.mix,    in.bias,  in.coefficients,
                                in.linear,  in.crowding, in.offset, in.vacuum};
    parameters.insert(parameters.end(), in.layers.begin(), in.layers.end());
    return ClusterFunction::apply(in.vectors, at::TensorList(parameters), in, nodes);
  }
  at::AutoDispatchBelowADInplaceOrView const below;
  return call_cluster<at::Tensor>(kClusterEnergies, in, nodes);
}

}  // namespace

std::vector<Schema> const& cluster_schemas() {
  static std::vector<Schema> const schemas = {kClusterEnergies, kClusterWithSlopes,
                                              kClusterBackward};
  return schemas;
}

void implement_cluster(Libraries const& libraries) {
  using Pair = std::tuple<at::Tensor, at::Tensor>;
  libraries.cpu.impl("cluster_energies", clustered<cluster_energies, at::Tensor, std::int64_t>);
  libraries.cpu.impl("cluster_energies_with_slopes",
                     clustered<cluster_energies_with_slopes, Pair, std::int64_t>);
  libraries.cpu.impl("cluster_energies_backward", cluster_energies_backward);
  libraries.cuda.impl("cluster_energies",
                      clustered<composite_cluster_energies, at::Tensor, c10::SymInt>);
  libraries.meta.impl("cluster_energies", clustered<cluster_shape, at::Tensor, c10::SymInt>);
  libraries.meta.impl("cluster_energies_with_slopes",
                      clustered<cluster_with_slopes_shape, Pair, c10::SymInt>);
  libraries.meta.impl("cluster_energies_backward", cluster_backward_shape);
  libraries.autograd.impl("cluster_energies", clustered<cluster_autograd, at::Tensor, c10::SymInt>);
}

}  // namespace torchml::operators
