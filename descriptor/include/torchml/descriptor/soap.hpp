// Power spectrum of smooth overlaps of atomic positions (A. P. Bartok, R. Kondor, G. Csanyi,
// Phys. Rev. B 87, 184115 (2013)) in the polynomial radial basis.
#pragma once

#include <memory>

#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

/// With c^z_nlm = sum_j I_nl(r_j) Y_lm over the neighbours j of species z, the values are
///   4 pi^3 sqrt(8/(2 l + 1)) sum_m c^za_{na l m} c^zb_{nb l m},
/// for za <= zb, na <= nb and l, the last the fastest; soap_radial.hpp defines I_nl. Neighbours
/// beyond `cutoff` but within `cutoffs` count; values jump where atoms become neighbours.
struct SoapParameters {
  SpeciesCutoffs cutoffs;  ///< which atoms are neighbours; usually `cutoff` for all pairs
  int n_max = 4;           ///< radial functions, 1 to 16, all accurate to double precision
  int l_max = 4;           ///< largest degree of the spherical harmonics, 0 to 50
  double cutoff = 5.0;     ///< Å, where the radial functions end
  double eta = 0.5;        ///< 1/Å^2, 1/(2 sigma^2) of the Gaussians; below 10^4/cutoff^2

  bool operator==(SoapParameters const&) const = default;
};

/// Throws Error when a parameter has no meaning.
std::unique_ptr<Descriptor const> make_descriptor(SoapParameters parameters);

}  // namespace torchml::descriptor
