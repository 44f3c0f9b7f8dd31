// Bispectrum of the neighbour density on the 3-sphere, as in SNAP (A. P. Thompson et al.,
// J. Comput. Phys. 285, 316 (2015); A. P. Bartok et al., Phys. Rev. Lett. 104, 136403 (2010)).
#pragma once

#include <memory>
#include <vector>

#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

struct BispectrumParameters {
  SpeciesCutoffs cutoffs;
  int twojmax = 8;              ///< twice the largest angular momentum, 0 to 30
  double rfac0 = 0.99363;       ///< fraction of pi that the cutoff is mapped to, above 0, at most 1
  int diagonalstyle = 3;        ///< 0 all (j1, j2, j), 1 j1 = j2, 2 j1 = j2 = j, 3 j >= j1 >= j2
  double rmin0 = 0.0;           ///< Å, mapped to angle 0; below every cutoff. Where a neighbour
                                ///< crosses it, values with half-integer j jump, as in SNAP.
  bool switch_flag = true;      ///< neighbours fade out towards the cutoff
  bool bzero_flag = false;      ///< subtract the values of an isolated atom
  std::vector<double> weights;  ///< [S] of the neighbours by species; empty: all 1

  bool operator==(BispectrumParameters const&) const = default;
};

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(BispectrumParameters parameters);

}  // namespace torchml::descriptor
