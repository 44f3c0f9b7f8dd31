// The terms of messages: what a convolution or torchml::messages multiplies and adds.
#pragma once

#include <cstdint>
#include <vector>

#include "operators/spline_kernel.hpp"

namespace torchml::operators {

/// Numbers of rows and parts that terms refer to. Throws Error, which names the operator, when they
/// are no terms.
struct Shape {
  Shape(std::vector<std::int64_t> const& numbers, char const* name);

  std::vector<Term> terms;
  std::int64_t rows_in = 0;
  std::int64_t rows_out = 0;
  std::int64_t parts = 0;
  std::int64_t factors = 0;
};

}  // namespace torchml::operators
