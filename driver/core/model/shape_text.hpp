// Shapes of tensors as readable text.
#pragma once

#include <torch/types.h>

#include <sstream>
#include <string>

namespace torchml {

/// The shape of a tensor, such as [2, 3].
inline std::string shape_text(torch::Tensor const& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

}  // namespace torchml
