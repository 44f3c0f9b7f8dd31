#include "potential.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "host/caching_allocator.hpp"
#include "host/device.hpp"
#include "host/threads.hpp"
#include "inputs/inputs.hpp"
#include "model/archive_metadata.hpp"
#include "model/load_model.hpp"
#include "model_call.hpp"
#include "operators/operators.hpp"
#include "spec/elements.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

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

void check_owners(System const& system) {
  if (system.owners.empty()) return;
  auto const particles = system.size();
  if (system.owners.size() != particles)
    throw Error("there are owners of " + std::to_string(system.owners.size()) +
                " particles, expected those of all " + std::to_string(particles));
  for (std::size_t i = 0; i < particles; ++i) {
    int const owner = system.owners[i];
    bool const exists = owner >= 0 && static_cast<std::size_t>(owner) < particles;
    if (exists && system.contributing[owner] != 0 && system.species[owner] == system.species[i] &&
        (system.contributing[i] == 0 || static_cast<std::size_t>(owner) == i))
      continue;
    throw Error("particle " + std::to_string(i) + " is given as an image of particle " +
                std::to_string(owner) +
                ", expected a contributing particle of the same species, and itself for one that "
                "contributes");
  }
}

/// Adds the results of images to those of their owners.
void give_to_owners(std::span<int const> owners, Request const& request, Result& result) {
  auto const give = [&](std::span<double> values, std::size_t width) {
    for (std::size_t i = 0; i < owners.size(); ++i) {
      auto const owner = static_cast<std::size_t>(owners[i]);
      if (owner == i) continue;
      for (std::size_t c = 0; c < width; ++c) {
        values[width * owner + c] += values[width * i + c];
        values[width * i + c] = 0.0;
      }
    }
  };
  if (request.forces) give(result.forces, 3);
  if (request.particle_virials) give(result.kim_particle_virials, 6);
  auto& members = result.members;
  if (request.members && request.forces)
    for (int k = 0; k < members.count; ++k)
      give(std::span(members.forces)
               .subspan(3 * owners.size() * static_cast<std::size_t>(k), 3 * owners.size()),
           3);
}

/// Whether KLIFF's save_kim_model() wrote the model and forward takes KLIFF's own codes of species.
bool takes_codes_of_kliff(std::vector<Declaration> const& declared, InputSettings const& settings) {
  return settings.spec.convention == Convention::graph &&
         declared.front().source == "kliff_graph.param" && declared.back().fields.empty() &&
         !settings.argument_names.empty() && settings.argument_names.front() == "species" &&
         std::ranges::all_of(settings.spec.species, [](std::string const& symbol) {
           return atomic_number(symbol).has_value();
         });
}

/// KLIFF 1.0 numbers the elements of each configuration by atomic number and ignores the order of
/// the species in the .param file. Numbering all species so is the same wherever all elements
/// occur, or only the lightest ones.
std::vector<std::int64_t> codes_of_kliff(std::vector<std::string> const& species) {
  std::vector<std::int64_t> codes;
  for (auto const& symbol : species)
    codes.push_back(std::ranges::count_if(species, [&](std::string const& other) {
      return *atomic_number(other) < *atomic_number(symbol);
    }));
  return codes;
}

/// The sentence about a system whose elements KLIFF numbers otherwise, or an empty text.
std::string contradiction_of_kliff(System const& system, InputSettings const& settings) {
  auto const& codes = settings.species_codes;
  std::vector<std::string> elements(codes.size());  // by code; empty where there is none of them
  for (int const s : system.species) elements[codes[s]] = settings.spec.species[s];
  auto const absent = std::ranges::find(elements, std::string());
  auto const wrong = std::find_if(absent, elements.end(), [](auto const& e) { return !e.empty(); });
  if (wrong == elements.end()) return {};
  return "KLIFF gave " + *wrong + " in a configuration of these elements another species code " +
         "than " + std::to_string(wrong - elements.begin()) +
         ", which it has where all elements of the model occur, so the energy differs from KLIFF's";
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

/// The model's own element type, unless a model that mixes types declares one of them.
void reconcile_dtype(std::vector<Declaration> const& declared, Model const& model,
                     ModelSpec& spec) {
  if (!model.dtype()) return;
  for (auto const& [source, fields] : declared) {
    if (!fields.contains("dtype")) continue;
    if (spec.dtype == *model.dtype() || model.holds(spec.dtype)) return;
    throw Error("'dtype' is '" + std::string(to_string(spec.dtype)) + "' in " + source +
                " but the model's own is '" + std::string(to_string(*model.dtype())) +
                "', expected the same value in both");
  }
  spec.dtype = *model.dtype();
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

/// Runs the model on three contributing particles and a ghost, all within the cutoff of each
/// other, so that the forms of the energy differ in length. Throws Error when the model fails, or
/// when its energy changes with the positions although its derivative is zero.
EnergyKind probe(Model const& model, InputSettings const& settings) {
  auto const& spec = settings.spec;
  double const a = 0.55 * spec.cutoff;
  std::vector<double> coordinates = {0.0,     0.0, 0.0,     a,       0.1 * a, 0.0,
                                     0.2 * a, a,   0.1 * a, 0.1 * a, 0.3 * a, 0.9 * a};
  std::vector<int> species(4);
  for (int i = 0; i < 4; ++i) species[i] = i % static_cast<int>(spec.species.size());
  std::vector<int> const contributing = {1, 1, 1, 0};
  AllOthers const neighbors(4);
  System const system{species, coordinates, contributing, &neighbors};
  auto const inputs = make_input_builder(settings);
  Result result;
  result.clear(system.size(), {});
  EnergyKind kind{};
  try {
    kind = call_model(model, *inputs, spec.returns_forces, system, {}, result);
  } catch (Error const& error) {
    if (!settings.descriptor) throw;
    throw Error(std::string(error.what()) + " (forward took " +
                std::to_string(settings.descriptor->width()) + " components of the descriptor)");
  }

  if (spec.returns_forces) return kind;
  auto const is_zero = [](double force) { return force == 0.0; };
  if (!std::all_of(result.forces.begin(), result.forces.end(), is_zero)) return kind;
  double const energy = result.energy;
  for (double& x : coordinates) x *= 1.05;
  call_model(model, *inputs, spec.returns_forces, system, {.forces = false}, result);
  if (std::abs(result.energy - energy) > 1e-5 * (std::abs(energy) + 1e-12))
    throw Error(
        "the model's energy changes with the positions but its forces are zero, expected "
        "an energy that can be differentiated (no detach() or no_grad() in forward)");
  return kind;
}

}  // namespace

struct Potential::Opened {
  explicit Opened(PotentialOptions const& options);
  ~Opened() { CachingAllocator::release_installed(); }  // it was sized for this model
  Opened(Opened const&) = delete;
  Opened& operator=(Opened const&) = delete;

  InputSettings settings;
  bool kliff = false;  ///< species have the codes of KLIFF
  std::unique_ptr<Model const> model;
  EnergyKind energy_kind;
};

Potential::Opened::Opened(PotentialOptions const& options) {
  ThreadScope const threads(at::get_num_threads());
  auto declared = options.declared;
  declared.push_back(read_metadata(options.model));
  auto& spec = settings.spec;
  spec = merge(declared);
  auto const& chosen = options.settings;
  Extensions extensions{spec.extensions, chosen.extension_folders};
  extensions.names.insert(extensions.names.end(), chosen.extensions.begin(),
                          chosen.extensions.end());
  register_operators();  // before the model is read, which may call them
  model = load_model(options.model, declared.back(), extensions,
                     pick_device(chosen.device, chosen.ranks.local_rank));
  settings.device = model->device();
  settings.argument_names = model->argument_names();

  reconcile_dtype(declared, *model, spec);
  auto const is_declared = [&](std::string const& key) {
    return std::any_of(declared.begin(), declared.end(),
                       [&](auto const& declaration) { return declaration.fields.contains(key); });
  };
  if (!is_declared("returns_forces")) spec.returns_forces = model->returns_tuple();
  // The descriptor comes before the species.
  std::size_t const place = spec.convention == Convention::descriptor ? 1 : 0;
  if (auto const& names = settings.argument_names;
      !is_declared("species_input") && names.size() > place &&
      (names[place] == "z" || names[place] == "atomic_numbers"))
    spec.species_input = SpeciesInput::atomic_number;
  if (chosen.force_atomic_numbers) spec.species_input = SpeciesInput::atomic_number;
  kliff = spec.species_input == SpeciesInput::code && takes_codes_of_kliff(declared, settings);
  settings.species_codes = kliff ? codes_of_kliff(spec.species) : codes_for(spec);
  if (spec.descriptor) settings.descriptor = descriptor::make_descriptor(*spec.descriptor);
  if (settings.device.is_cpu() && chosen.caching_allocator) CachingAllocator::install();
  if (spec.members > 0 && !model->has_members())
    throw Error("the metadata declare " + std::to_string(spec.members) +
                " members but the model has no method member_energies, expected one");
  energy_kind = probe(*model, settings);
  settings.neighbors = chosen.neighbors;
  if (chosen.ghost_folding)  // after the probe, whose particles are too few
    settings.folding = chosen.job_size > 1 ? Folding::several_ranks : Folding::one_rank;
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

Evaluator::Evaluator(Potential const& potential, EvaluatorOptions const& options)
    : opened_(*potential.opened_) {
  auto settings = opened_.settings;
  if (!options.folding) settings.folding = Folding::off;
  inputs_ = make_input_builder(std::move(settings));
}

Evaluator::~Evaluator() = default;

void Evaluator::evaluate(System const& system, Request const& request, Result& result) {
  auto const& spec = opened_.settings.spec;
  ThreadScope const threads(at::get_num_threads());
  CachingAllocator::Scope const memory;
  check_system(system, spec);
  check_owners(system);
  if (opened_.kliff && !warned_)
    if (auto const sentence = contradiction_of_kliff(system, opened_.settings); !sentence.empty()) {
      TORCH_WARN(sentence);
      warned_ = true;
    }
  if (request.members && spec.members == 0)
    throw Error(
        "the members of a committee were requested but the model is none, expected 'members' in "
        "its metadata (python -m torchml_export --committee)");
  result.clear(system.size(), request, spec.members);
  // An empty rank, or ghosts alone: nothing contributes.
  if (std::none_of(system.contributing.begin(), system.contributing.end(),
                   [](int flag) { return flag != 0; }))
    return;
  call_model(*opened_.model, *inputs_, spec.returns_forces, system, request, result);
  if (!std::isfinite(result.energy))
    throw Error("the model returned an energy that is not finite, expected a number");
  if ((request.forces && !all_finite(result.forces)) ||
      (request.gradient() && !all_finite(result.kim_virial)))
    throw Error("the model's forces are not all finite, expected numbers");
  if (request.members &&
      !(all_finite(result.members.energies) && all_finite(result.members.forces)))
    throw Error("energies or forces of members are not all finite, expected numbers");
  give_to_owners(system.owners, request, result);
}

}  // namespace torchml
