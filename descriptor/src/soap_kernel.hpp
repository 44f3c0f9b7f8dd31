// The inner loops of SOAP.
#pragma once

#include <cstddef>

#include "radial_table.hpp"
#include "torchml/common/simd/dispatch.hpp"
#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"

namespace torchml::descriptor {

struct SoapTables {
  int species;
  int n_max;
  int l_max;
  std::size_t width;
  RadialPieces radial;      ///< function l * n_max + n
  double const* harmonics;  ///< harmonics_table(l_max)
  double const* scale;      ///< [l_max + 1] of the products of coefficients
};

/// As Descriptor::values and Descriptor::gradient.
struct SoapKernel {
  void (*values)(SoapTables const&, Environment const* centers, std::size_t count, Scratch&,
                 double* values);
  void (*gradient)(SoapTables const&, Environment const* centers, std::size_t count, Scratch&,
                   double const* cotangent, EnvironmentGradient const* gradients);
};

TORCHML_KERNEL(SoapKernel, soap_kernel)

}  // namespace torchml::descriptor
