#include "environment.hpp"

#include <cmath>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml::kim {
namespace {

bool is_on(std::string const& value) {
  auto const word = lower(value);
  return !word.empty() && word != "0" && word != "no" && word != "off" && word != "false";
}

}  // namespace

RuntimeSettings read_environment() {
  auto settings = RuntimeSettings::from_environment();
  if (auto const device = environment_variable("KIM_MODEL_EXECUTION_DEVICE"); !device.empty())
    settings.device = device;
  settings.force_atomic_numbers = is_on(environment_variable("KIM_MODEL_ELEMENTS_MAP"));
  return settings;
}

bool aborts_on_error(RuntimeSettings const& settings,
                     std::optional<DeviationSettings> const& deviations) {
  auto const value = lower(environment_variable("TORCHML_ON_ERROR"));
  if (!value.empty() && value != "return" && value != "abort")
    throw Error("TORCHML_ON_ERROR is '" + value + "', expected return or abort");
  bool const stops = deviations && std::isfinite(deviations->stop);
  return settings.job_size > 1 && (value.empty() ? stops : value == "abort");
}

}  // namespace torchml::kim
