#include "potential.hpp"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <sstream>

#include "device.hpp"
#include "elements.hpp"
#include "error.hpp"
#include "inputs.hpp"
#include "python_lock.hpp"
#include "torch_error.hpp"
#include "torchscript_model.hpp"

namespace torchml {
namespace {

std::string shape_text(torch::Tensor const& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

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

bool all_finite(std::span<double const> values) {
  // A sum is finite only if its terms are; overflow of finite terms is caught one by one.
  if (std::isfinite(std::accumulate(values.begin(), values.end(), 0.0))) return true;
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

void check_system(System const& system, ModelSpec const& spec) {
  auto const kinds = static_cast<int>(spec.species.size());
  for (std::size_t i = 0; i < system.size(); ++i)
    if (system.species[i] < 0 || system.species[i] >= kinds)
      throw Error("particle " + std::to_string(i) + " has species code " +
                  std::to_string(system.species[i]) + ", expected 0 to " +
                  std::to_string(kinds - 1));
  if (all_finite(system.coordinates)) return;
  for (std::size_t i = 0; i < system.coordinates.size(); ++i)
    if (!std::isfinite(system.coordinates[i]))
      throw Error("a coordinate of particle " + std::to_string(i / 3) +
                  " is not finite, expected numbers of Å");
}

void clear(System const& system, Request const& request, Result& result) {
  result.energy = 0.0;
  result.virial.fill(0.0);
  result.edge_terms.clear();
  if (request.particle_energies) result.particle_energies.assign(system.size(), 0.0);
  if (request.forces) result.forces.assign(3 * system.size(), 0.0);
  if (request.particle_virials) result.particle_virials.assign(6 * system.size(), 0.0);
}

std::vector<std::int64_t> codes_for(ModelSpec const& spec) {
  std::vector<std::int64_t> codes(spec.species.size());
  std::iota(codes.begin(), codes.end(), 0);
  if (spec.species_input == SpeciesInput::code) return codes;
  for (std::size_t s = 0; s < codes.size(); ++s) {
    auto const number = atomic_number(spec.species[s]);
    if (!number)
      throw Error("species '" + spec.species[s] +
                  "' has no atomic number, expected chemical symbols for a model that takes "
                  "atomic numbers");
    codes[s] = *number;
  }
  return codes;
}

/// A declared value must be the one found in the model; an undeclared one is taken from it.
template <class Value>
void reconcile(std::vector<Declaration> const& declared, std::string const& key, Value& value,
               std::optional<Value> found) {
  if (!found) return;
  for (auto const& [source, fields] : declared)
    if (fields.contains(key) && value != *found)
      throw Error("'" + key + "' is '" + std::string(to_string(value)) + "' in " + source +
                  " but the model's own is '" + std::string(to_string(*found)) +
                  "', expected the same value in both");
  value = *found;
}

/// Every particle sees every other.
class AllOthers final : public NeighborSource {
 public:
  explicit AllOthers(int particles) {
    for (int i = 0; i < particles; ++i) {
      lists_.emplace_back();
      for (int j = 0; j < particles; ++j)
        if (j != i) lists_.back().push_back(j);
    }
  }
  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    return lists_[particle];
  }

 private:
  std::vector<std::vector<int>> lists_;
};

/// One call of the model and everything that follows from it.
EnergyKind run(TorchScriptModel const& model, InputBuilder& builder, bool returns_derivative,
               System const& system, Request const& request, Result& result) {
  bool const backward = request.gradient() && !returns_derivative;
  torch::AutoGradMode const grad_mode(backward || model.differentiates());

  auto const inputs = builder.build(system, backward || model.differentiates());
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
          "energies of particles were asked for but the model returns their sum, expected "
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
    if (output.derivative.sizes() != inputs.differentiable.sizes() ||
        !output.derivative.is_floating_point())
      throw Error("the model returned forces of shape " + shape_text(output.derivative) +
                  ", expected " + shape_text(inputs.differentiable));
    derivative = builder.returned_sign() * output.derivative;
  } else if (total.requires_grad()) {
    try {
      PythonLockRelease const no_lock;
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

/// Runs the model on three contributing particles and a ghost, all within the cutoff of each
/// other, so that the forms of the energy differ in length.
EnergyKind probe(TorchScriptModel const& model, InputSettings const& settings) {
  auto const& spec = settings.spec;
  double const a = 0.55 * spec.cutoff;
  std::vector<double> const coordinates = {0.0,     0.0, 0.0,     a,       0.1 * a, 0.0,
                                           0.2 * a, a,   0.1 * a, 0.1 * a, 0.3 * a, 0.9 * a};
  std::vector<int> species(4);
  for (int i = 0; i < 4; ++i) species[i] = i % static_cast<int>(spec.species.size());
  std::vector<int> const contributing = {1, 1, 1, 0};
  AllOthers const neighbors(4);
  Result result;
  return run(model, *make_input_builder(settings), spec.returns_forces,
             {species, coordinates, contributing, &neighbors}, {.forces = false}, result);
}

}  // namespace

/// An opened model is all a potential is.
struct Potential::Opened {
  explicit Opened(PotentialOptions const& options);

  InputSettings settings;
  std::unique_ptr<TorchScriptModel const> model;
  EnergyKind energy_kind;
};

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

Potential::Opened::Opened(PotentialOptions const& options) {
  auto declared = options.declared;
  declared.push_back(read_metadata(options.model));
  auto& spec = settings.spec;
  spec = merge(declared);
  model = std::make_unique<TorchScriptModel>(options.model, spec.extensions,
                                             pick_device(options.device, options.node_local_rank));
  settings.device = model->device();
  settings.argument_names = model->argument_names();

  reconcile(declared, "dtype", spec.dtype, model->dtype());
  auto const is_declared = [&](std::string const& key) {
    return std::any_of(declared.begin(), declared.end(),
                       [&](auto const& declaration) { return declaration.fields.contains(key); });
  };
  if (!is_declared("returns_forces")) spec.returns_forces = model->returns_tuple();
  if (!is_declared("species_input") && !settings.argument_names.empty()) {
    auto const& first = settings.argument_names.front();
    if (first == "z" || first == "atomic_numbers") spec.species_input = SpeciesInput::atomic_number;
  }
  if (options.force_atomic_numbers) spec.species_input = SpeciesInput::atomic_number;
  settings.species_codes = codes_for(spec);
  energy_kind = probe(*model, settings);
}

Potential::Potential(PotentialOptions const& options)
    : opened_(std::make_unique<Opened const>(options)) {}

Potential::~Potential() = default;

ModelSpec const& Potential::spec() const {
  return opened_->settings.spec;
}

EnergyKind Potential::energy_kind() const {
  return opened_->energy_kind;
}

std::string Potential::device() const {
  return opened_->settings.device.str();
}

std::vector<std::string> const& Potential::argument_names() const {
  return opened_->settings.argument_names;
}

Evaluator::Evaluator(Potential const& potential)
    : opened_(*potential.opened_), inputs_(make_input_builder(opened_.settings)) {}

Evaluator::~Evaluator() = default;

void Evaluator::evaluate(System const& system, Request const& request, Result& result) {
  auto const& spec = opened_.settings.spec;
  check_system(system, spec);
  clear(system, request, result);
  // An empty rank, or ghosts alone: nothing contributes.
  if (std::none_of(system.contributing.begin(), system.contributing.end(),
                   [](int flag) { return flag != 0; }))
    return;
  run(*opened_.model, *inputs_, spec.returns_forces, system, request, result);
  if (!std::isfinite(result.energy))
    throw Error("the model returned an energy that is not finite, expected a number");
  if ((request.forces && !all_finite(result.forces)) ||
      (request.gradient() && !all_finite(result.virial)))
    throw Error("the model's forces are not all finite, expected numbers");
}

}  // namespace torchml
