// The exception type of common, the descriptor library and the engine.
#pragma once

#include <stdexcept>

namespace torchml {

/// The message is one sentence: what was wrong, where, and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace torchml
