// The environment variables that steer the driver at run time.
#pragma once

#include <string>

namespace torchml::kim {

struct Environment {
  std::string device;         ///< KIM_MODEL_EXECUTION_DEVICE: cpu (default), cuda, cuda:K
  bool force_atomic_numbers;  ///< KIM_MODEL_ELEMENTS_MAP: set, and not 0, no, off or false
};

Environment read_environment();

}  // namespace torchml::kim
