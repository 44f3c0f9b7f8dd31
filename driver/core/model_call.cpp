#include "model_call.hpp"

#include <torch/csrc/autograd/autograd.h>

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

torch::Tensor on_cpu(torch::Tensor const& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64).contiguous();
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
  auto const output = model.forward(inputs.arguments);
  auto const energy = energy_vector(output.energy);
  auto const kind = kind_of(energy, inputs);
  auto const rows = kind == EnergyKind::per_particle && inputs.contributing != inputs.particles
                        ? energy.index_select(0, inputs.contributing_rows.to(model.device()))
                        : energy;
  auto const total = rows.to(torch::kFloat64).sum();
  result.energy = total.item<double>();

  if (request.particle_energies) {
    if (kind == EnergyKind::total && inputs.contributing != 1)
      throw Error(
          "energies of particles were requested but the model returns their sum, expected "
          "a model that returns one energy per particle");
    auto const values = on_cpu(rows).reshape({-1});
    auto const* const contributing = inputs.contributing_rows.data_ptr<std::int64_t>();
    for (std::int64_t k = 0; k < inputs.contributing; ++k)
      result.particle_energies[builder.particle_of_row(contributing[k])] =
          values.data_ptr<double>()[k];
  }
  if (!request.gradient()) return kind;

  torch::Tensor derivative;
  if (returns_derivative) {
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
    derivative = builder.returned_sign() * output.derivative;
  } else if (total.requires_grad()) {
    try {
      GilRelease const no_gil;
      derivative = torch::autograd::grad({total}, {inputs.differentiable}, {}, std::nullopt, false,
                                         /*allow_unused=*/true)[0];
    } catch (std::exception const& exception) {
      throw Error("the model's energy cannot be differentiated: " + describe(exception));
    }
  }
  // An energy that does not depend on the input has no gradient: zero forces.
  if (!derivative.defined()) derivative = torch::zeros_like(inputs.differentiable);
  builder.pull_back(system, on_cpu(derivative), request, result);
  return kind;
}

}  // namespace torchml
