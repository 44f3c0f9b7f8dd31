#include "deviation_watch.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "deviations.hpp"
#include "graph/dependents.hpp"
#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

int members_of(Potential const& potential) {
  if (potential.spec().members > 0) return potential.spec().members;
  throw Error(
      "TORCHML_DEVIATIONS is set but the model has no members, expected a committee (python -m "
      "torchml_export --committee)");
}

/// The energies of the contributing particles alone, of each member.
std::vector<double> own_energies(Members const& members, System const& system) {
  std::vector<double> energies;
  for (std::size_t k = 0; k < static_cast<std::size_t>(members.count); ++k) {
    double sum = 0.0;
    for (std::size_t i = 0; i < system.size(); ++i)
      if (system.contributing[i] != 0) sum += members.particle_energies[k * system.size() + i];
    energies.push_back(sum);
  }
  return energies;
}

}  // namespace

DeviationWatch::DeviationWatch(Potential const& potential, DeviationSettings const& settings)
    : potential_(potential),
      settings_(settings),
      file_(settings, members_of(potential)),
      evaluator_(potential, EvaluatorOptions{.folding = false}) {}

void DeviationWatch::follow(System const& system) {
  auto const evaluation = evaluations_++;
  if (evaluation % settings_.every != 0) return;
  auto const& spec = potential_.spec();
  auto const contributing = with_dependents(system, spec.cutoffs());
  System extended = system;
  extended.contributing = contributing;
  evaluator_.evaluate(extended, {.energy = false, .forces = true, .members = true}, result_);
  DeviationRecord const record{evaluation, own_energies(result_.members, system),
                               force_deviations(result_.members, system)};
  file_.write(record, system, spec.species);
  require_below_limit(record, system);
}

void DeviationWatch::require_below_limit(DeviationRecord const& record,
                                         System const& system) const {
  auto const& deviations = record.deviations;
  auto const worst = std::ranges::max_element(deviations);
  if (worst == deviations.end() || !(*worst > settings_.stop)) return;
  auto const i = static_cast<std::size_t>(worst - deviations.begin());
  double const* const x = system.coordinates.data() + 3 * i;
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(),
                "the members of the committee differ by %.3g eV/Å in the force on the %s atom at "
                "%.4g %.4g %.4g Å in evaluation %lld, expected at most TORCHML_DEVIATIONS_STOP = "
                "%.3g eV/Å",
                *worst, potential_.spec().species[system.species[i]].c_str(), x[0], x[1], x[2],
                record.evaluation, settings_.stop);
  throw Error(text.data());
}

}  // namespace torchml::kim
