// The one exception type of the engine.
#pragma once

#include <stdexcept>

namespace torchml {

/// Thrown by everything below the KIM shim and the Python bindings, which translate it.
/// The message is one sentence: what was wrong, where, and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace torchml
