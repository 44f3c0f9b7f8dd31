#include "operators/density_registration.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "operators/density.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr Schema kDensity = {
    "torchml::density",
    "density(Tensor vectors, Tensor species, Tensor edge_index, Tensor order, Tensor core, Tensor "
    "weights, Tensor table, float cutoff, int lmax, SymInt nodes) -> Tensor"};
constexpr Schema kDensityBackward = {
    "torchml::density_backward",
    "density_backward(Tensor gradient, Tensor vectors, Tensor species, Tensor edge_index, Tensor "
    "order, Tensor core, Tensor weights, Tensor table, float cutoff, int lmax) -> Tensor"};
constexpr Schema kDensityTangent = {
    "torchml::density_tangent",
    "density_tangent(Tensor directions, Tensor vectors, Tensor species, Tensor edge_index, Tensor "
    "order, Tensor core, Tensor weights, Tensor table, float cutoff, int lmax, SymInt nodes) -> "
    "Tensor"};

using T = Tensor const&;
using DensitySignature = Tensor(T, T, T, T, T, T, T, double, std::int64_t, c10::SymInt);
using DensityBackwardSignature = Tensor(T, T, T, T, T, T, T, T, double, std::int64_t);
using DensityTangentSignature = Tensor(T, T, T, T, T, T, T, T, double, std::int64_t, c10::SymInt);

Tensor call_density(DensityInputs const& in, c10::SymInt nodes) {
  return handle<DensitySignature>(kDensity).call(in.vectors, in.species, in.edge_index, in.order,
                                                 in.core, in.weights, in.table, in.cutoff, in.lmax,
                                                 std::move(nodes));
}

Tensor call_density_backward(T gradient, DensityInputs const& in) {
  return handle<DensityBackwardSignature>(kDensityBackward)
      .call(gradient, in.vectors, in.species, in.edge_index, in.order, in.core, in.weights,
            in.table, in.cutoff, in.lmax);
}

Tensor call_density_tangent(T directions, DensityInputs const& in, c10::SymInt nodes) {
  return handle<DensityTangentSignature>(kDensityTangent)
      .call(directions, in.vectors, in.species, in.edge_index, in.order, in.core, in.weights,
            in.table, in.cutoff, in.lmax, std::move(nodes));
}

// --- on the CPU, and by torch's own operators elsewhere

Tensor density_cpu(T vectors, T species, T edge_index, T order, T core, T weights, T table,
                   double cutoff, std::int64_t lmax, std::int64_t nodes) {
  return density({vectors, species, edge_index, order, core, weights, table, cutoff, lmax}, nodes);
}

Tensor density_backward_cpu(T gradient, T vectors, T species, T edge_index, T order, T core,
                            T weights, T table, double cutoff, std::int64_t lmax) {
  return density_backward(
      gradient, {vectors, species, edge_index, order, core, weights, table, cutoff, lmax});
}

Tensor density_tangent_cpu(T directions, T vectors, T species, T edge_index, T order, T core,
                           T weights, T table, double cutoff, std::int64_t lmax,
                           std::int64_t nodes) {
  return density_tangent(
      directions, {vectors, species, edge_index, order, core, weights, table, cutoff, lmax}, nodes);
}

Tensor density_elsewhere(T vectors, T species, T edge_index, T order, T core, T weights, T table,
                         double cutoff, std::int64_t lmax, std::int64_t nodes) {
  return composite_density(
      {vectors, species, edge_index, order, core, weights, table, cutoff, lmax}, nodes);
}

Tensor density_backward_elsewhere(T gradient, T vectors, T species, T edge_index, T order, T core,
                                  T weights, T table, double cutoff, std::int64_t lmax) {
  return composite_density_backward(
      gradient, {vectors, species, edge_index, order, core, weights, table, cutoff, lmax});
}

Tensor density_tangent_elsewhere(T directions, T vectors, T species, T edge_index, T order, T core,
                                 T weights, T table, double cutoff, std::int64_t lmax,
                                 std::int64_t nodes) {
  return composite_density_tangent(
      directions, {vectors, species, edge_index, order, core, weights, table, cutoff, lmax}, nodes);
}

// --- shapes alone, for tracing

Tensor density_shape(T /*vectors*/, T /*species*/, T /*edge_index*/, T /*order*/, T /*core*/,
                     T weights, T table, double /*cutoff*/, std::int64_t lmax, c10::SymInt nodes) {
  return table.new_empty_symint({std::move(nodes), c10::SymInt((lmax + 1) * (lmax + 1)),
                                 weights.sym_size(1) * table.sym_size(1)});
}

Tensor density_backward_shape(T /*gradient*/, T vectors, T /*species*/, T /*edge_index*/,
                              T /*order*/, T /*core*/, T /*weights*/, T /*table*/,
                              double /*cutoff*/, std::int64_t /*lmax*/) {
  return vectors.new_empty_symint(vectors.sym_sizes());
}

Tensor density_tangent_shape(T /*directions*/, T vectors, T species, T edge_index, T order, T core,
                             T weights, T table, double cutoff, std::int64_t lmax,
                             c10::SymInt nodes) {
  return density_shape(vectors, species, edge_index, order, core, weights, table, cutoff, lmax,
                       std::move(nodes));
}

// --- derivatives

/// The inputs, kept from the forward to the backward pass; `first` is kept before them.
void save(AutogradContext* context, Tensor const& first, DensityInputs const& in) {
  context->save_for_backward(
      {first, in.vectors, in.species, in.edge_index, in.order, in.core, in.weights, in.table});
  context->saved_data["cutoff"] = in.cutoff;
  context->saved_data["lmax"] = in.lmax;
}

DensityInputs saved_inputs(AutogradContext* context, variable_list const& saved) {
  return {saved[1],
          saved[2],
          saved[3],
          saved[4],
          saved[5],
          saved[6],
          saved[7],
          context->saved_data["cutoff"].toDouble(),
          context->saved_data["lmax"].toInt()};
}

void refuse_trained(T weights, T table) {
  if (weights.requires_grad() || table.requires_grad())
    throw Error(
        "torchml::density: weights or table require derivatives, expected fixed ones (only the "
        "vectors have derivatives)");
}

/// sum(directions * density_backward) by the vectors: rare, and so left to torch's operators.
Tensor second_by_vectors(T directions, T gradient, DensityInputs in) {
  at::AutoGradMode const enabled(true);
  in.vectors = in.vectors.detach().requires_grad_();
  auto const first = composite_density_backward(gradient.detach(), in);
  return torch::autograd::grad({first}, {in.vectors}, {directions.detach()})[0];
}

struct DensityFunction : Function<DensityFunction> {
  static Tensor forward(AutogradContext* context, T vectors, T species, T edge_index, T order,
                        T core, T weights, T table, double cutoff, std::int64_t lmax,
                        c10::SymInt nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    DensityInputs const in{vectors, species, edge_index, order, core, weights, table, cutoff, lmax};
    save(context, {}, in);
    return call_density(in, std::move(nodes));
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const to_vectors = call_density_backward(gradients[0], saved_inputs(context, saved));
    return {to_vectors, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  }
};

struct DensityBackwardFunction : Function<DensityBackwardFunction> {
  static Tensor forward(AutogradContext* context, T gradient, T vectors, T species, T edge_index,
                        T order, T core, T weights, T table, double cutoff, std::int64_t lmax) {
    at::AutoDispatchBelowADInplaceOrView const below;
    DensityInputs const in{vectors, species, edge_index, order, core, weights, table, cutoff, lmax};
    save(context, gradient, in);
    return call_density_backward(gradient, in);
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const in = saved_inputs(context, saved);
    auto const &gradient = saved[0], &directions = gradients[0];
    Tensor to_gradient, to_vectors;
    if (context->needs_input_grad(0))
      to_gradient = call_density_tangent(directions, in, gradient.sym_size(0));
    if (context->needs_input_grad(1)) to_vectors = second_by_vectors(directions, gradient, in);
    return {to_gradient, to_vectors, {}, {}, {}, {}, {}, {}, {}, {}};
  }
};

struct DensityTangentFunction : Function<DensityTangentFunction> {
  static Tensor forward(AutogradContext*, T directions, T vectors, T species, T edge_index, T order,
                        T core, T weights, T table, double cutoff, std::int64_t lmax,
                        c10::SymInt nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    return call_density_tangent(
        directions, {vectors, species, edge_index, order, core, weights, table, cutoff, lmax},
        std::move(nodes));
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    throw Error("torchml::density: third derivatives do not exist, expected second ones at most");
  }
};

Tensor density_autograd(T vectors, T species, T edge_index, T order, T core, T weights, T table,
                        double cutoff, std::int64_t lmax, c10::SymInt nodes) {
  refuse_trained(weights, table);
  return DensityFunction::apply(vectors, species, edge_index, order, core, weights, table, cutoff,
                                lmax, std::move(nodes));
}

Tensor density_backward_autograd(T gradient, T vectors, T species, T edge_index, T order, T core,
                                 T weights, T table, double cutoff, std::int64_t lmax) {
  return DensityBackwardFunction::apply(gradient, vectors, species, edge_index, order, core,
                                        weights, table, cutoff, lmax);
}

Tensor density_tangent_autograd(T directions, T vectors, T species, T edge_index, T order, T core,
                                T weights, T table, double cutoff, std::int64_t lmax,
                                c10::SymInt nodes) {
  return DensityTangentFunction::apply(directions, vectors, species, edge_index, order, core,
                                       weights, table, cutoff, lmax, std::move(nodes));
}

}  // namespace

std::vector<Schema> const& density_schemas() {
  static std::vector<Schema> const schemas = {kDensity, kDensityBackward, kDensityTangent};
  return schemas;
}

void implement_density(Libraries const& libraries) {
  libraries.cpu.impl("density", density_cpu);
  libraries.cpu.impl("density_backward", density_backward_cpu);
  libraries.cpu.impl("density_tangent", density_tangent_cpu);
  libraries.cuda.impl("density", density_elsewhere);
  libraries.cuda.impl("density_backward", density_backward_elsewhere);
  libraries.cuda.impl("density_tangent", density_tangent_elsewhere);
  libraries.meta.impl("density", density_shape);
  libraries.meta.impl("density_backward", density_backward_shape);
  libraries.meta.impl("density_tangent", density_tangent_shape);
  libraries.autograd.impl("density", density_autograd);
  libraries.autograd.impl("density_backward", density_backward_autograd);
  libraries.autograd.impl("density_tangent", density_tangent_autograd);
}

}  // namespace torchml::operators
