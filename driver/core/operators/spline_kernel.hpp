// The inner loops of splines and of convolutions with them, for one element type.
#pragma once

#include <cstdint>

#include "torchml/common/simd/dispatch.hpp"

namespace torchml::operators {

/// K functions of the distance as splines of degree five on equal intervals from 0 to the cutoff:
/// on interval i, with u = r / spacing - i, they are sum_j B_j(u) coefficients[i + j], j = 0 .. 5,
/// where B_j are the pieces of the cardinal B-spline. Beyond the cutoff they are zero.
template <class Real>
struct Spline {
  Real const* coefficients;  ///< [intervals + 5, width]
  std::int64_t intervals;
  std::int64_t width;  ///< K
  double cutoff;       ///< Å
};

/// out[row of the target] += function[part](r) * factor * features[row of the source].
struct Term {
  std::int64_t out;
  std::int64_t in;
  std::int64_t part;
  std::int64_t factor;  ///< column of the factors; -1: no factor
};

/// Terms with the same part and the same row of the features: those from `begin` to `end`.
struct TermGroup {
  std::int32_t part;
  std::int32_t in;
  std::int32_t begin;
  std::int32_t end;
};
struct GroupedTerm {
  std::int32_t out;
  std::int32_t factor;
};

/// Edges sorted by one of their ends: those of node n stand at offsets[n] .. offsets[n + 1], in the
/// order of their numbers.
struct EdgeList {
  std::int32_t const* offsets;
  std::int32_t const* edges;   ///< their numbers
  std::int32_t const* others;  ///< the nodes at their other ends
};

/// A convolution of the edges whose number is below `edges`.
template <class Real>
struct Convolution {
  Spline<Real> spline;      ///< of parts * width functions
  double const* distances;  ///< [edges] (Å)
  std::int64_t edges;
  Real const* features;  ///< [sources, rows_in, width]
  std::int64_t sources;
  Real const* factors;  ///< [edges, factor_count]
  std::int64_t factor_count;
  TermGroup const* groups;  ///< sorted by part
  std::int64_t group_count;
  GroupedTerm const* terms;
  std::int64_t rows_in;
  std::int64_t rows_out;
  std::int64_t width;
  std::int64_t targets;
};

/// Where the derivatives are written; null where one is not requested.
template <class Real>
struct ConvolutionGradients {
  double* distances;  ///< [edges]
  Real* features;     ///< [sources, rows_in, width]
  Real* factors;      ///< [edges, factor_count]
};

template <class Real>
struct SplineKernel {
  /// Values of the functions at distances begin .. end: [end - begin, K].
  void (*values)(Spline<Real> const& spline, double const* distances, std::int64_t begin,
                 std::int64_t end, Real* values);

  /// sum_k gradient[e, k] * d(function k)/dr at distances begin .. end.
  void (*slopes)(Spline<Real> const& spline, double const* distances, Real const* gradient,
                 std::int64_t begin, std::int64_t end, double* slopes);

  /// For convolutions of one row in, one out and one part without factors. Sums of the targets
  /// begin .. end, over edges sorted by target: [targets, width]. Returns false when a source lies
  /// beyond the features.
  bool (*sums)(Convolution<Real> const& convolution, EdgeList const& by_target, std::int64_t begin,
               std::int64_t end, Real* sums);

  /// Derivatives by what belongs to the sources begin .. end, and to their edges, over edges sorted
  /// by source.
  void (*gradients)(Convolution<Real> const& convolution, EdgeList const& by_source,
                    Real const* gradient, std::int64_t begin, std::int64_t end,
                    ConvolutionGradients<Real> const& gradients);
};

using SplineKernel64 = SplineKernel<double>;
using SplineKernel32 = SplineKernel<float>;

TORCHML_KERNEL(SplineKernel64, spline_kernel_f64)
TORCHML_KERNEL(SplineKernel32, spline_kernel_f32)

/// The kernel of this processor.
template <class Real>
SplineKernel<Real> const& spline_kernel();
template <>
inline SplineKernel<double> const& spline_kernel<double>() {
  return spline_kernel_f64();
}
template <>
inline SplineKernel<float> const& spline_kernel<float>() {
  return spline_kernel_f32();
}

}  // namespace torchml::operators
