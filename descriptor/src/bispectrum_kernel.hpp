// The arithmetic of the bispectrum, one centre per lane.
//
// U^j[ma, mb], 0 <= ma, mb <= j, are the matrices of the density of neighbours (descriptor.hpp
// names the source of the definition), with U^j[j-ma, j-mb] = (-1)^(ma+mb) conj(U^j[ma, mb]), so
// that the half with 2 mb <= j determines the rest. Arrays over halves hold, for j = 0..twojmax, mb
// = 0..j/2, ma = 0..j: one entry; mb outermost within a level.
//
// An invariant belongs to three momenta in any order,
//   I = sum_{ma mb} Re(conj(U^j[ma, mb]) Z[ma, mb]) / (j + 1),
//   Z[ma, mb] = sum C(ma1, ma2) C(mb1, mb2) U^j1[ma1, mb1] U^j2[ma2, mb2],
// with the Clebsch-Gordan coefficients of (j1, j2 -> j), and is linear in each of its three U.
#pragma once

#include <cstddef>

#include "torchml/common/simd/dispatch.hpp"
#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"

namespace torchml::descriptor {

/// Largest twojmax. Results keep their digits there, but cost 2,000 times those of 8.
inline constexpr int largest_twojmax = 30;

/// Two momenta coupled to a third: what Z, times some factor, is computed from.
struct CoupledMomenta {
  int j1;
  int j2;
  int j;
  std::size_t invariant;
  double const* inner;  ///< [j1 + 1, j2 + 1] coefficients of m1, m2; used for mb
  double const* outer;  ///< the same times the factor; used for ma. If j1 = j2, those with
                        ///< m2 < m1 count twice and stand for those with m2 > m1.
};

struct BispectrumTables {
  int twojmax;
  double rfac0_pi;  ///< angle of the cutoff
  double rmin0;     ///< Å
  bool switching;
  std::size_t species;
  double const* inverse_ranges;  ///< [S, S] 1 / (cutoff - rmin0), 1/Å, of centre and neighbour
  double const* weights;         ///< [S] of neighbours
  int const* halves;             ///< [twojmax + 2] where the half of each level begins
  double const* norms;           ///< [half] sqrt(ma! (j - ma)! / (mb! (j - mb)!))
  std::size_t invariants;
  std::size_t value_count;
  CoupledMomenta const* value_couplings;  ///< I = sum Re(conj(U^j) Z), one for each invariant
  std::size_t gradient_count;
  CoupledMomenta const* gradient_couplings;  ///< dI = sum Re(conj(dU^j) Z), over several of them
};

struct BispectrumKernel {
  /// Writes invariants [count, invariants].
  void (*values)(BispectrumTables const& tables, Environment const* centers, std::size_t count,
                 Scratch& scratch, double* invariants);

  /// Cotangents [count, invariants].
  void (*gradient)(BispectrumTables const& tables, Environment const* centers, std::size_t count,
                   Scratch& scratch, double const* cotangents,
                   EnvironmentGradient const* gradients);
};

TORCHML_KERNEL(BispectrumKernel, bispectrum_kernel)

}  // namespace torchml::descriptor
