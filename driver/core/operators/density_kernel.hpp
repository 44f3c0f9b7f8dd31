// The inner loops of densities around atoms, for one element type.
#pragma once

#include <cstdint>

#include "torchml/common/simd/dispatch.hpp"

namespace torchml::operators {

/// Harmonics beyond this degree are not computed.
inline constexpr int kMaxDegree = 6;

/// The density of neighbours in radial functions, real harmonics and channels of species:
///   A[lm, c * radial + n] = sum_e weights[species of e, c] * s(r_e) g_n(r'_e) * Y_lm(v_e / |v_e|)
/// with row lm = l * l + l + m. The g_n are splines (see Spline in spline_kernel.hpp) of r', which
/// is the distance held near the core, where s falls from 1 to 0; sum_m Y_lm^2 = 1 for each l.
template <class Real>
struct Density {
  Real const* table;  ///< [intervals + 5, radial]
  std::int64_t intervals;
  std::int64_t radial;
  double cutoff;        ///< Å
  int lmax;             ///< 0 .. kMaxDegree
  Real const* weights;  ///< [species, channels]
  std::int64_t channels;
  std::int64_t species;
  double const* core;  ///< [species, species], row target (Å): begins there; 0: none

  [[nodiscard]] std::int64_t rows() const { return std::int64_t(lmax + 1) * (lmax + 1); }
  [[nodiscard]] std::int64_t columns() const { return channels * radial; }
};

/// The edges into one node, in any order; the sums take them as they stand.
struct DensityEdges {
  double const* vectors;       ///< [E, 3], source minus target (Å)
  std::int32_t const* edges;   ///< [count], rows of the vectors
  std::int32_t const* others;  ///< [count], their source nodes
  std::int64_t count;
  std::int64_t const* species;  ///< of the nodes, each in 0 .. species
  std::int64_t target_species;
};

template <class Real>
struct DensityKernel {
  /// density: [rows, columns], overwritten.
  void (*sum)(Density<Real> const& density, DensityEdges const& edges, Real* scratch, Real* result);

  /// The derivatives of sum(gradient * density) by the vectors, into rows edges[k] of by_vectors
  /// [E, 3]. gradient: [rows, columns].
  void (*gradients)(Density<Real> const& density, DensityEdges const& edges, Real const* gradient,
                    Real* scratch, double* by_vectors);

  /// The derivative of the density where vector e moves along directions[e], of [E, 3].
  /// result: [rows, columns], overwritten.
  void (*tangent)(Density<Real> const& density, DensityEdges const& edges, double const* directions,
                  Real* scratch, Real* result);
};

/// Numbers in the scratch of one thread.
template <class Real>
std::int64_t density_scratch(Density<Real> const& density) {
  return (density.rows() + 40) * (density.radial + 8);
}

using DensityKernel64 = DensityKernel<double>;
using DensityKernel32 = DensityKernel<float>;

TORCHML_KERNEL(DensityKernel64, density_kernel_f64)
TORCHML_KERNEL(DensityKernel32, density_kernel_f32)

/// The kernel of this processor.
template <class Real>
DensityKernel<Real> const& density_kernel();
template <>
inline DensityKernel<double> const& density_kernel<double>() {
  return density_kernel_f64();
}
template <>
inline DensityKernel<float> const& density_kernel<float>() {
  return density_kernel_f32();
}

}  // namespace torchml::operators
