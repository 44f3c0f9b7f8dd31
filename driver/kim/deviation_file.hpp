// The file in which a rank records how much the members of a committee differ.
#pragma once

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "deviation_settings.hpp"
#include "deviations.hpp"
#include "system.hpp"

namespace torchml::kim {

/// Text, a line for each record and for each atom above the threshold; docs/uncertainty.md shows
/// them. A later file of the same name in this process is appended to the first.
class DeviationFile {
 public:
  /// Throws Error when the file cannot be written, or another process or model writes it.
  DeviationFile(DeviationSettings const& settings, int members);

  /// Writes what was found of the atoms of this rank. Throws Error when that fails.
  void write(long long evaluation, Deviations const& found, System const& system,
             std::span<std::string const> species);

 private:
  [[noreturn]] void refuse(std::string const& problem) const;

  std::string path_;
  double above_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace torchml::kim
