// Third-order invariants of the neighbour density in spherical Bessel functions (E. Kocer,
// J. K. Mason, H. Erturk, AIP Adv. 10, 015021 (2020)).
#pragma once

#include <memory>

#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

struct XiParameters {
  SpeciesCutoffs cutoffs;  ///< which atoms are neighbours; usually `cutoff` for all pairs
  int q = 4;               ///< highest level n0 + n1 + n2 + (l0 + l1 + l2)/2, 0 to 15
  double cutoff = 5.0;     ///< Å, where the radial functions end: neighbours beyond do not count

  bool operator==(XiParameters const&) const = default;
};

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(XiParameters parameters);

}  // namespace torchml::descriptor
