// What a user sets about the deviations of a committee.
#pragma once

#include <filesystem>
#include <limits>
#include <optional>

namespace torchml::kim {

struct DeviationSettings {
  std::filesystem::path file;  ///< TORCHML_DEVIATIONS; of a rank of several, with `.RANK` appended
  int every = 1;  ///< TORCHML_DEVIATIONS_EVERY: evaluations from one record to the next
  double above = std::numeric_limits<double>::infinity();  ///< .._ABOVE: atoms to list, eV/Å
  double stop = std::numeric_limits<double>::infinity();   ///< .._STOP: ends the run, eV/Å
  int rank = 0;
  int ranks = 1;

  /// The settings in the environment; nothing where TORCHML_DEVIATIONS is not set. Throws Error
  /// when a variable has a value that it cannot have, or is set without TORCHML_DEVIATIONS.
  static std::optional<DeviationSettings> from_environment();
};

}  // namespace torchml::kim
