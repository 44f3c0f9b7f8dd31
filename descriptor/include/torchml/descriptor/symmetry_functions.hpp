// Symmetry functions of Behler and Parrinello (J. Behler, J. Chem. Phys. 134, 074106 (2011)).
#pragma once

#include <memory>
#include <vector>

#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

/// One function; only the parameters of its kind have a meaning. With fc(r) = (cos(pi r/rc) + 1)/2,
/// neighbours j and k of atom i, each unordered pair j, k once:
///   g1   sum_j fc(r_ij)
///   g2   sum_j exp(-eta (r_ij - shift)^2) fc(r_ij)
///   g3   sum_j cos(kappa r_ij) fc(r_ij)
///   g4   sum_jk 2^(1-zeta) (1 + lambda cos)^zeta exp(-eta (r_ij^2 + r_ik^2 + r_jk^2))
///               fc(r_ij) fc(r_ik) fc(r_jk)
///   g5   sum_jk 2^(1-zeta) (1 + lambda cos)^zeta exp(-eta (r_ij^2 + r_ik^2)) fc(r_ij) fc(r_ik)
struct SymmetryFunction {
  enum class Kind { g1, g2, g3, g4, g5 };
  Kind kind = Kind::g1;
  double eta = 0.0;     ///< 1/Å^2: g2, g4, g5
  double shift = 0.0;   ///< Å: g2
  double kappa = 0.0;   ///< 1/Å: g3
  double zeta = 1.0;    ///< g4, g5
  double lambda = 1.0;  ///< g4, g5

  bool operator==(SymmetryFunction const&) const = default;
};

struct SymmetryFunctionsParameters {
  SpeciesCutoffs cutoffs;
  std::vector<SymmetryFunction> functions;  ///< in the order of the output

  bool operator==(SymmetryFunctionsParameters const&) const = default;
};

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(SymmetryFunctionsParameters parameters);

}  // namespace torchml::descriptor
