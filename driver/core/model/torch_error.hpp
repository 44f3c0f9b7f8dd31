// libtorch's exceptions and shapes as readable text.
#pragma once

#include <torch/types.h>

#include <exception>
#include <sstream>
#include <string>

namespace torchml {

/// The shape of a tensor, such as [2, 3].
inline std::string shape_text(torch::Tensor const& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

/// The cause of a libtorch exception without C++ and TorchScript stack traces, on one line.
std::string describe(std::exception const& exception);

}  // namespace torchml
