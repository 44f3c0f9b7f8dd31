#include "compute.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <string>

#include "host/threads.hpp"
#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

namespace argument = KIM::COMPUTE_ARGUMENT_NAME;

template <class Pointer>
Pointer pointer_to(KIM::ModelComputeArguments const& arguments, KIM::ComputeArgumentName name) {
  Pointer pointer = nullptr;
  if (arguments.GetArgumentPointer(name, &pointer) != 0)
    throw Error("KIM-API gave no pointer for " + name.ToString());
  return pointer;
}

class KimNeighbors final : public NeighborSource {
 public:
  /// Where the model has a second list, it is that of ghosts.
  KimNeighbors(KIM::ModelComputeArguments const& arguments, Model const& model)
      : arguments_(arguments),
        contributing_(pointer_to<int const*>(arguments, argument::particleContributing)),
        of_ghosts_(static_cast<int>(model.cutoffs.size()) - 1) {}

  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    int count = 0;
    int const* list = nullptr;
    int const which = contributing_[particle] != 0 ? 0 : of_ghosts_;
    if (arguments_.GetNeighborList(which, particle, &count, &list) != 0)
      throw Error("the simulator gave no neighbour list of particle " + std::to_string(particle) +
                  ", expected one");
    return {list, static_cast<std::size_t>(std::max(0, count))};
  }

 private:
  KIM::ModelComputeArguments const& arguments_;
  int const* contributing_;
  int of_ghosts_;
};

/// Where the simulator wants its results; null where it wants none.
struct Outputs {
  double* energy = nullptr;
  double* particle_energies = nullptr;
  double* forces = nullptr;
  double* virial = nullptr;
  double* particle_virials = nullptr;

  void fill(double value, std::size_t particles) const {
    if (energy != nullptr) *energy = value;
    if (virial != nullptr) std::fill_n(virial, 6, value);
    if (particle_energies != nullptr) std::fill_n(particle_energies, particles, value);
    if (forces != nullptr) std::fill_n(forces, 3 * particles, value);
    if (particle_virials != nullptr) std::fill_n(particle_virials, 6 * particles, value);
  }
};

void scale_into(double* target, std::span<double const> values, double factor) {
  if (target != nullptr)
    std::transform(values.begin(), values.end(), target, [=](double v) { return v * factor; });
}

}  // namespace

void Computation::compute(Model const& model, KIM::ModelComputeArguments const& arguments) {
  auto const* const count = pointer_to<int const*>(arguments, argument::numberOfParticles);
  auto const particles = static_cast<std::size_t>(std::max(0, *count));
  Outputs outputs;
  outputs.energy = pointer_to<double*>(arguments, argument::partialEnergy);
  outputs.forces = pointer_to<double*>(arguments, argument::partialForces);
  outputs.virial = pointer_to<double*>(arguments, argument::partialVirial);
  outputs.particle_virials = pointer_to<double*>(arguments, argument::partialParticleVirial);
  if (model.potential.energy_kind() != EnergyKind::total)
    outputs.particle_energies = pointer_to<double*>(arguments, argument::partialParticleEnergy);
  int dedr = 0;
  if (model.potential.spec().radial)
    arguments.IsCallbackPresent(KIM::COMPUTE_CALLBACK_NAME::ProcessDEDrTerm, &dedr);

  try {
    auto const* const x = pointer_to<double const*>(arguments, argument::coordinates);
    auto const& units = model.units;
    std::span<double const> coordinates(x, 3 * particles);
    if (units.length != 1.0) {
      coordinates_.resize(coordinates.size());
      scale_into(coordinates_.data(), coordinates, 1.0 / units.length);
      coordinates = coordinates_;
    }
    KimNeighbors const neighbors(arguments, model);
    System const system{
        {pointer_to<int const*>(arguments, argument::particleSpeciesCodes), particles},
        coordinates,
        {pointer_to<int const*>(arguments, argument::particleContributing), particles},
        &neighbors};
    Request const request{.energy = outputs.energy != nullptr,
                          .particle_energies = outputs.particle_energies != nullptr,
                          .forces = outputs.forces != nullptr,
                          .virial = outputs.virial != nullptr,
                          .particle_virials = outputs.particle_virials != nullptr,
                          .edge_terms = dedr != 0};
    {
      ThreadScope const threads(model.threads);
      evaluator_.evaluate(system, request, result_);
      if (watch_) watch_->follow(system);
    }

    if (outputs.energy != nullptr) *outputs.energy = result_.energy * units.energy;
    scale_into(outputs.particle_energies, result_.particle_energies, units.energy);
    scale_into(outputs.forces, result_.forces, units.force());
    scale_into(outputs.virial, result_.kim_virial, units.energy);
    scale_into(outputs.particle_virials, result_.kim_particle_virials, units.energy);
    for (auto const& term : result_.edge_terms) {
      double const vector[3] = {term.vector[0] * units.length, term.vector[1] * units.length,
                                term.vector[2] * units.length};
      if (arguments.ProcessDEDrTerm(term.dedr * units.force(), term.r * units.length, vector,
                                    term.i, term.j) != 0)
        throw Error("the simulator's ProcessDEDrTerm reported an error");
    }
  } catch (...) {
    outputs.fill(std::numeric_limits<double>::quiet_NaN(), particles);
    throw;
  }
}

}  // namespace torchml::kim
