#include "registration.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "environment.hpp"
#include "model/fallback.hpp"
#include "spec/model_files.hpp"
#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

namespace fs = std::filesystem;

/// KIM-API's calls return true on failure.
void require(int failed, std::string const& action) {
  if (failed != 0) throw Error("KIM-API refused " + action);
}

std::vector<fs::path> parameter_files(KIM::ModelDriverCreate const& create) {
  std::string const* folder = nullptr;
  create.GetParameterFileDirectoryName(&folder);
  int count = 0;
  create.GetNumberOfParameterFiles(&count);
  std::vector<fs::path> files;
  for (int i = 0; i < count; ++i) {
    std::string const* name = nullptr;
    require(create.GetParameterFileBasename(i, &name), "to name a parameter file");
    files.push_back(fs::path(*folder) / *name);
  }
  return files;
}

}  // namespace

std::unique_ptr<Model> create_model(KIM::ModelDriverCreate const& create, KIM::LengthUnit length,
                                    KIM::EnergyUnit energy) {
  auto files = read_model_files(parameter_files(create));
  auto const settings = read_environment();
  auto const& ranks = settings.ranks;
  auto const units = accept_units(length, energy);
  auto const reason = replace_unfit_archive(files, settings);
  if (!reason.empty()) create.LogEntry(KIM::LOG_VERBOSITY::warning, reason, __LINE__, __FILE__);
  auto model = std::unique_ptr<Model>(
      new Model{Potential(PotentialOptions{
                    .model = files.model, .declared = files.declared, .settings = settings}),
                units,
                threads_that_fit(ranks),
                0.0,
                {},
                {},
                {}});
  if (int const requested = default_threads(ranks); requested > model->threads)
    create.LogEntry(KIM::LOG_VERBOSITY::information,
                    std::to_string(requested) + " threads were requested, but only " +
                        std::to_string(model->threads) + " are used, since " +
                        std::to_string(ranks.local_size) + " rank(s) share the cores of this node",
                    __LINE__, __FILE__);
  auto const& spec = model->potential.spec();
#ifdef TORCHML_DISABLE_GRAPH
  if (passes_messages(spec.convention))
    throw Error("the model passes messages (" + std::string(to_string(spec.convention)) +
                ") but this driver was built with KIM_MODEL_DISABLE_GRAPH, expected None or "
                "Descriptor");
#endif
  model->deviations = DeviationSettings::from_environment();
  model->aborts = aborts_on_error(settings, model->deviations);
  bool const watched = model->deviations.has_value();
  model->influence_distance = (watched ? 2.0 : 1.0) * spec.influence_distance() * units.length;
  auto const cutoffs = spec.cutoffs();
  bool const shorter_for_ghosts = cutoffs.size() > 1 && cutoffs[1] < cutoffs[0] && !watched;
  model->cutoffs = {cutoffs[0] * units.length};
  model->only_contributing = {(spec.layers == 1 || shorter_for_ghosts) && !watched ? 1 : 0};
  if (shorter_for_ghosts) {
    model->cutoffs.push_back(cutoffs[1] * units.length);
    model->only_contributing.push_back(0);
  }
  return model;
}

void register_model(KIM::ModelDriverCreate& create, Model const& model) {
  require(create.SetModelNumbering(KIM::NUMBERING::zeroBased), "the numbering");
  require(
      create.SetUnits(model.units.length_unit, model.units.energy_unit, KIM::CHARGE_UNIT::unused,
                      KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused),
      "the units");
  auto const& species = model.potential.spec().species;
  for (std::size_t code = 0; code < species.size(); ++code) {
    KIM::SpeciesName const name(species[code]);
    if (!name.Known())
      throw Error("species '" + species[code] +
                  "' is unknown to KIM-API, expected a chemical symbol");
    require(create.SetSpeciesCode(name, static_cast<int>(code)), "species " + species[code]);
  }
  create.SetInfluenceDistancePointer(&model.influence_distance);
  create.SetNeighborListPointers(static_cast<int>(model.cutoffs.size()), model.cutoffs.data(),
                                 model.only_contributing.data());
}

void register_arguments(KIM::ModelComputeArgumentsCreate& create, Model const& model) {
  namespace argument = KIM::COMPUTE_ARGUMENT_NAME;
  namespace status = KIM::SUPPORT_STATUS;
  bool const total_only = model.potential.energy_kind() == EnergyKind::total;
  for (auto const name : {argument::partialEnergy, argument::partialForces, argument::partialVirial,
                          argument::partialParticleVirial})
    require(create.SetArgumentSupportStatus(name, status::optional), "an argument's status");
  require(create.SetArgumentSupportStatus(argument::partialParticleEnergy,
                                          total_only ? status::notSupported : status::optional),
          "an argument's status");
  require(create.SetCallbackSupportStatus(
              KIM::COMPUTE_CALLBACK_NAME::ProcessDEDrTerm,
              model.potential.spec().radial ? status::optional : status::notSupported),
          "a callback's status");
}

}  // namespace torchml::kim
