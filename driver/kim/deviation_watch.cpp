#include "deviation_watch.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

int members_of(Potential const& potential) {
  if (potential.spec().members > 0) return potential.spec().members;
  throw Error(
      "TORCHML_DEVIATIONS is set but the model has no members, expected a committee (python -m "
      "torchml_export --committee)");
}

}  // namespace

DeviationWatch::DeviationWatch(Potential const& potential, DeviationSettings const& settings)
    : potential_(potential),
      settings_(settings),
      file_(settings, members_of(potential)),
      evaluator_(potential) {}

void DeviationWatch::follow(System const& system) {
  auto const evaluation = evaluations_++;
  if (evaluation % settings_.every != 0) return;
  auto const found = evaluator_.evaluate(system);
  file_.write(evaluation, found, system, potential_.spec().species);
  require_below_limit(evaluation, found, system);
}

void DeviationWatch::require_below_limit(long long evaluation, Deviations const& found,
                                         System const& system) const {
  auto const& deviations = found.forces;
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
                evaluation, settings_.stop);
  throw Error(text.data());
}

}  // namespace torchml::kim
