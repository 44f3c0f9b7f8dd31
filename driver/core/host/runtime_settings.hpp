// What a user sets at run time by environment variables.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/list_policy.hpp"
#include "host/node_ranks.hpp"

namespace torchml {

/// Read once, where KIM-API or Python enters the engine; the engine itself reads no variable.
struct RuntimeSettings {
  std::string device = "cpu";         ///< cpu, cuda or cuda:K
  bool force_atomic_numbers = false;  ///< give forward atomic numbers whatever it declares
  bool caching_allocator = true;      ///< TORCHML_ALLOCATOR: on or off
  bool ghost_folding = true;          ///< TORCHML_FOLDING: on or off
  ListPolicy neighbors = ListPolicy::complete;  ///< TORCHML_NEIGHBORS: by the names of ListPolicy
  std::vector<std::string> extensions = {};     ///< TORCHML_EXTENSIONS, colon separated
  std::vector<std::filesystem::path> extension_folders = {};  ///< TORCHML_EXTENSION_PATH
  NodeRanks ranks = {};  ///< of this process, from the launcher
  int job_size = 1;      ///< ranks on all nodes

  /// The variables named above and those of launchers. Throws Error when one has a value that it
  /// cannot have, TORCHML_DESCRIPTOR_SIMD included.
  static RuntimeSettings from_environment();
};

/// TORCHML_STDERR: whether an error that ends a run is printed. `on` also where the variable has a
/// wrong value, which RuntimeSettings::from_environment() refuses.
bool errors_are_printed();

/// The value of an environment variable without blanks around it, or empty.
std::string environment_variable(char const* name);

}  // namespace torchml
