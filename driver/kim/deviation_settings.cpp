#include "deviation_settings.hpp"

#include <cmath>
#include <string>

#include "host/node_ranks.hpp"
#include "host/runtime_settings.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml::kim {
namespace {

constexpr char const* file_variable = "TORCHML_DEVIATIONS";
constexpr char const* every_variable = "TORCHML_DEVIATIONS_EVERY";
constexpr char const* above_variable = "TORCHML_DEVIATIONS_ABOVE";
constexpr char const* stop_variable = "TORCHML_DEVIATIONS_STOP";

/// A force, or `otherwise` where the variable is not set.
double force_in(char const* variable, double otherwise) {
  auto const text = environment_variable(variable);
  if (text.empty()) return otherwise;
  auto const value = parse_number<double>(text);
  if (!value || !std::isfinite(*value) || *value < 0.0)
    throw Error(std::string(variable) + " is '" + text + "', expected a force in eV/Å");
  return *value;
}

}  // namespace

std::optional<DeviationSettings> DeviationSettings::from_environment() {
  DeviationSettings settings;
  settings.file = environment_variable(file_variable);
  if (settings.file.empty()) {
    for (auto const* const variable : {every_variable, above_variable, stop_variable})
      if (!environment_variable(variable).empty())
        throw Error(std::string(variable) + " is set but " + file_variable +
                    " is not, expected the name of a file in the latter");
    return std::nullopt;
  }
  if (auto const text = environment_variable(every_variable); !text.empty()) {
    auto const every = parse_number<int>(text);
    if (!every || *every < 1)
      throw Error(std::string(every_variable) + " is '" + text +
                  "', expected a number of evaluations, at least 1");
    settings.every = *every;
  }
  settings.above = force_in(above_variable, settings.above);
  settings.stop = force_in(stop_variable, settings.stop);
  settings.rank = job_rank();
  settings.ranks = job_size();
  return settings;
}

}  // namespace torchml::kim
