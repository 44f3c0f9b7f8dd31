// Sums of symmetry functions over the neighbours of a centre, for each instruction set.
#pragma once

#include <cstddef>

#include "torchml/common/simd/dispatch.hpp"
#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"

namespace torchml::descriptor {

/// g1, g2 and g3: shape(r) fc(r).
struct RadialFunction {
  enum class Shape { one, gaussian, cosine };
  Shape shape;
  double parameter;  ///< 1/Å^2, eta of a Gaussian; 1/Å, kappa of a cosine
  double shift;      ///< Å
  int output;        ///< position among the values
};

/// ((1 + lambda cos)/2)^zeta.
struct AngularPower {
  double zeta;
  int integer;  ///< zeta, if it is an integer that is worth multiplying out; else 0
  int lambda;   ///< position in the list
};

/// One function g4 or g5 as a product out of lists.
struct AngularTerm {
  int eta;
  int power;
  int output;  ///< position among the values
};

/// Functions that are products of f(r_ij, r_ik[, r_jk]) exp(-eta (r_ij^2 + ...)) and a power of the
/// angle: each different eta, lambda and power once.
struct AngularFunctions {
  bool closed;  ///< g4, where j and k are neighbours of each other too; else g5
  std::size_t etas, lambdas, powers, terms;
  double const* eta;            ///< [etas], 1/Å^2
  double const* lambda;         ///< [lambdas]
  int const* first_power;       ///< [lambdas + 1], powers are in the order of their lambdas
  AngularPower const* power;    ///< [powers]
  int const* first_of_eta;      ///< [etas + 1] into by_eta
  AngularTerm const* by_eta;    ///< [terms]
  int const* first_of_power;    ///< [powers + 1] into by_power
  AngularTerm const* by_power;  ///< [terms]
};

struct SymmetryFunctionTables {
  std::size_t width;
  std::size_t species;
  bool uniform;           ///< all pairs of species have the same cutoff
  double const* stretch;  ///< [species, species], (pi/(2 rc))^2, 1/Å^2
  std::size_t radials;
  RadialFunction const* radial;
  AngularFunctions angular[2];  ///< g4 and g5; without terms if there are none
};

/// See Descriptor::values and Descriptor::gradient.
struct SymmetryFunctionsKernel {
  void (*values)(SymmetryFunctionTables const& tables, Environment const* centers,
                 std::size_t count, Scratch& scratch, double* values);
  void (*gradient)(SymmetryFunctionTables const& tables, Environment const* centers,
                   std::size_t count, Scratch& scratch, double const* cotangent,
                   EnvironmentGradient const* gradients);
};

TORCHML_KERNEL(SymmetryFunctionsKernel, symmetry_functions_kernel)

}  // namespace torchml::descriptor
