// The one exception type of the library, and of what is built on it.
#pragma once

#include <stdexcept>

namespace torchml {

/// The message is one sentence: what was wrong, where, and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace torchml
