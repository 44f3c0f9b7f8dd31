// libtorch's name of a float type.
#pragma once

#include <torch/types.h>

#include "spec/model_declaration.hpp"

namespace torchml {

inline torch::ScalarType torch_dtype(ScalarType dtype) {
  return dtype == ScalarType::float32 ? torch::kFloat32 : torch::kFloat64;
}

}  // namespace torchml
