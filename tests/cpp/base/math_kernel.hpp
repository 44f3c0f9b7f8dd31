// The functions of common/simd for arrays, built once per instruction set and once for scalars.
#pragma once

#include <cstddef>

#include "torchml/common/simd/dispatch.hpp"

namespace torchml::simd {

/// Every function works on `lanes` numbers.
struct MathKernel {
  std::size_t lanes;
  void (*exp)(double const* x, double* result);
  void (*sincos)(double const* x, double* sine, double* cosine);
  void (*round)(double const* x, double* result);
  void (*sqrt_abs)(double const* x, double* result);                ///< sqrt(|x|)
  void (*smaller)(double const* x, double const* y, double*);       ///< min
  void (*larger)(double const* x, double const* y, double*);        ///< max
  void (*lesser_index)(double const* x, double const* y, double*);  ///< lane where x < y, else -1
  void (*gather)(double const* from, int const* index, double* result);
  double (*sum)(double const* x);
  int (*how_many)(double const* x);  ///< of x < 0: 0 none, 1 some, 2 all
};

TORCHML_KERNEL(MathKernel, math_kernel)
namespace scalar {
extern MathKernel const math_kernel;
}

}  // namespace torchml::simd
