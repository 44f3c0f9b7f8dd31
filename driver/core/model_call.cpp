#include "model_call.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "host/gil_release.hpp"
#include "model/shape_text.hpp"
#include "model/torch_error.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

/// The energy as a vector, [rows, 1] taken for [rows].
torch::Tensor energy_vector(torch::Tensor const& energy) {
  if (!energy.is_floating_point())
    throw Error(std::string("the model returned an energy of type ") +
                toString(energy.scalar_type()) + ", expected a floating-point tensor");
  return energy.dim() == 2 && energy.size(1) == 1 ? energy.squeeze(1) : energy;
}

EnergyKind kind_of(torch::Tensor const& energy, ModelInputs const& inputs) {
  if (energy.dim() == 1 && energy.size(0) == inputs.contributing &&
      inputs.contributing != inputs.particles)
    return EnergyKind::per_contributing;
  if (energy.dim() == 1 && energy.size(0) == inputs.particles) return EnergyKind::per_particle;
  if (energy.numel() == 1) return EnergyKind::total;
  throw Error("the model returned an energy of shape " + shape_text(energy) +
              ", expected one element, [" + std::to_string(inputs.contributing) +
              "] (contributing particles) or [" + std::to_string(inputs.particles) +
              "] (all particles)");
}

/// One gradient; zero where the energy does not depend on the input.
torch::Tensor gradient_of(torch::Tensor const& energy, torch::Tensor const& input,
                          bool keep_graph) {
  if (!energy.requires_grad()) return torch::zeros_like(input);
  torch::Tensor gradient;
  try {
    GilRelease const no_gil;
    gradient = torch::autograd::grad({energy}, {input}, {}, keep_graph, false,
                                     /*allow_unused=*/true)[0];
  } catch (std::exception const& exception) {
    throw Error("the model's energy cannot be differentiated: " + describe(exception));
  }
  return gradient.defined() ? gradient : torch::zeros_like(input);
}

torch::Tensor on_cpu(torch::Tensor const& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64).contiguous();
}

/// The derivative that forward returned.
torch::Tensor returned_derivative(ModelOutput const& output, ModelInputs const& inputs) {
  if (!output.derivative.defined())
    throw Error(
        "the model returned no forces although it is declared to, expected a tuple "
        "(energy, forces)");
  if (!output.derivative.is_floating_point())
    throw Error(std::string("the model returned forces of type ") +
                toString(output.derivative.scalar_type()) + ", expected a floating-point tensor");
  if (output.derivative.sizes() != inputs.differentiable.sizes())
    throw Error("the model returned forces of shape " + shape_text(output.derivative) +
                ", expected " + shape_text(inputs.differentiable));
  return output.derivative;
}

/// Scatters the energies of contributing rows, in the order of the rows, to their particles.
void scatter(torch::Tensor const& rows, ModelInputs const& inputs, InputBuilder const& builder,
             double* particle_energies) {
  auto const values = on_cpu(rows).reshape({-1});
  auto const* const contributing = inputs.contributing_rows.data_ptr<std::int64_t>();
  for (std::int64_t k = 0; k < inputs.contributing; ++k)
    particle_energies[builder.particle_of_row(contributing[k])] = values.data_ptr<double>()[k];
}

/// The energies of contributing particles of each member, in float64.
std::vector<torch::Tensor> energies_of_members(Model const& model, ModelInputs const& inputs,
                                               int members) {
  auto energies = model.member_energies(inputs.arguments);
  if (energies.size() != static_cast<std::size_t>(members))
    throw Error("member_energies returned " + std::to_string(energies.size()) +
                " tensors, expected one for each of the " + std::to_string(members) +
                " members in the metadata");
  for (auto& one : energies) {
    if (!one.is_floating_point() || !one.sizes().equals({inputs.contributing}))
      throw Error("member_energies returned a tensor of shape " + shape_text(one) +
                  ", expected floats of shape [" + std::to_string(inputs.contributing) +
                  "] (contributing particles)");
    one = one.to(torch::kFloat64);
  }
  return energies;
}

/// Adds what each member of a committee computes to cleared `members`; returns the mean of their
/// derivatives, undefined where none is requested.
torch::Tensor add_members(std::vector<torch::Tensor> const& energies, ModelInputs const& inputs,
                          InputBuilder const& builder, System const& system, Request const& request,
                          Members& members) {
  auto const particles = system.size();
  Request const forces{.energy = false, .forces = true};
  torch::Tensor mean;
  for (std::size_t k = 0; k < energies.size(); ++k) {
    auto const total = energies[k].sum();
    members.energies[k] = total.item<double>();
    scatter(energies[k], inputs, builder, members.particle_energies.data() + k * particles);
    if (!request.gradient()) continue;
    // Members may share a part of their graph.
    auto const gradient =
        on_cpu(gradient_of(total, inputs.differentiable, k + 1 < energies.size()));
    mean = mean.defined() ? mean.add_(gradient) : gradient.clone();
    if (!request.forces) continue;
    Result one;
    one.clear(particles, forces);
    builder.pull_back(system, gradient, forces, one);
    std::ranges::copy(one.forces,
                      members.forces.begin() + static_cast<std::ptrdiff_t>(3 * k * particles));
  }
  return mean.defined() ? mean.div_(static_cast<double>(energies.size())) : mean;
}

}  // namespace

std::string_view to_string(EnergyKind kind) {
  switch (kind) {
    case EnergyKind::total:
      return "total";
    case EnergyKind::per_contributing:
      return "per_contributing";
    case EnergyKind::per_particle:
      return "per_particle";
  }
  return "?";
}

EnergyKind call_model(Model const& model, InputBuilder& builder, bool returns_derivative,
                      System const& system, Request const& request, Result& result) {
  bool const backward = request.gradient() && !returns_derivative;
  // A caller in Python may have switched these on.
  c10::InferenceMode const normal(false);
  c10::impl::ExcludeDispatchKeyGuard const no_autocast(c10::autocast_dispatch_keyset);
  c10::OptionalDeviceGuard const on_device(model.device());
  torch::AutoGradMode const grad_mode(backward || model.differentiates());

  auto const inputs = builder.build(system, backward || model.differentiates());
  if (inputs.arguments.empty()) return EnergyKind::total;  // of nothing: zero
  torch::Tensor derivative;
  torch::Tensor rows;
  auto kind = EnergyKind::per_contributing;
  if (request.members) {  // the energy is their mean
    auto const energies = energies_of_members(model, inputs, result.members.count);
    derivative = add_members(energies, inputs, builder, system, request, result.members);
    rows = torch::stack(energies).detach().mean(0);
  } else {
    auto const output = request.gradient() ? model.forward(inputs.arguments)
                                           : ModelOutput{model.energy(inputs.arguments), {}};
    auto const energy = energy_vector(output.energy);
    kind = kind_of(energy, inputs);
    rows = kind == EnergyKind::per_particle && inputs.contributing != inputs.particles
               ? energy.index_select(0, inputs.contributing_rows.to(model.device()))
               : energy;
    if (returns_derivative && request.gradient())
      derivative = builder.returned_sign() * returned_derivative(output, inputs);
  }
  auto const total = rows.to(torch::kFloat64).sum();
  result.energy = total.item<double>();

  if (request.particle_energies) {
    if (kind == EnergyKind::total && inputs.contributing != 1)
      throw Error(
          "energies of particles were requested but the model returns their sum, expected "
          "a model that returns one energy per particle");
    scatter(rows, inputs, builder, result.particle_energies.data());
  }
  if (!request.gradient()) return kind;
  if (!derivative.defined()) derivative = gradient_of(total, inputs.differentiable, false);
  builder.pull_back(system, on_cpu(derivative), request, result);
  return kind;
}

}  // namespace torchml
