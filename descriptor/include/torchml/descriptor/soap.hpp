// Power spectrum of smooth overlaps of atomic positions (A. P. Bartok, R. Kondor, G. Csanyi,
// Phys. Rev. B 87, 184115 (2013)) in the polynomial radial basis.
#pragma once

#include <memory>

#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

struct SoapParameters {
  SpeciesCutoffs cutoffs;  ///< which atoms are neighbours; usually `cutoff` for all pairs
  int n_max = 4;           ///< radial functions
  int l_max = 4;           ///< largest degree of the spherical harmonics
  double cutoff = 5.0;     ///< Å, where the radial functions end
  double eta = 0.5;        ///< 1/Å^2, 1/(2 sigma^2) of the Gaussians

  bool operator==(SoapParameters const&) const = default;
};

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(SoapParameters parameters);

}  // namespace torchml::descriptor
