// The environment variables that steer the driver at run time.
#pragma once

#include <optional>

#include "deviation_settings.hpp"
#include "host/runtime_settings.hpp"

namespace torchml::kim {

/// The engine's settings with those that only the driver has: KIM_MODEL_EXECUTION_DEVICE (cpu,
/// which is the default, cuda or cuda:K) and KIM_MODEL_ELEMENTS_MAP (give forward atomic numbers if
/// set, and not 0, no, off or false). Throws Error when a variable has a value that it cannot have.
RuntimeSettings read_environment();

/// Whether an error in a step ends all ranks of the job: TORCHML_ON_ERROR (return or abort); where
/// it is not set, yes if deviations have a limit, which one rank alone may exceed. Never in a job
/// of one rank. Throws Error when the variable has another value.
bool aborts_on_error(RuntimeSettings const& settings,
                     std::optional<DeviationSettings> const& deviations);

}  // namespace torchml::kim
