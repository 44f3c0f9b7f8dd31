// Where distances lie among the knots of splines: for kernels, once per instruction set.
#pragma once

#include <cstdint>

#ifndef TORCHML_SIMD
#error "TORCHML_SIMD names the namespace of the instruction set, see dispatch.hpp"
#endif

namespace torchml::operators::TORCHML_SIMD {
namespace {

constexpr int kDegree = 5;
constexpr int kOrder = kDegree + 1;  // coefficients that meet on an interval

/// Where some distances lie among the knots, and the weights of the coefficients there.
template <int kBlock>
struct SplinePlaces {
  std::int32_t interval[kBlock];
  double value[kOrder][kBlock];  ///< B_j
  double slope[kOrder][kBlock];  ///< dB_j/dr (1/Å)
};

/// The intervals from 0 to the cutoff.
struct Knots {
  double cutoff;
  double per_length;  ///< 1 / spacing
  double last;        ///< number of the last interval

  Knots(double end, std::int64_t intervals)
      : cutoff(end),
        per_length(static_cast<double>(intervals) / end),
        last(static_cast<double>(intervals - 1)) {}
};

/// Pieces of B-splines, times degree!, of one degree more: the recursion of de Boor and Cox.
template <int degree>
[[gnu::always_inline]] inline void raise(double u, double (&b)[kOrder]) {
  b[degree] = u * b[degree - 1];
  for (int j = degree - 1; j > 0; --j) b[j] = (u + (degree - j)) * b[j - 1] + ((j + 1) - u) * b[j];
  b[0] *= 1.0 - u;
}

/// What lies beyond the cutoff gets weights of zero; a NaN spoils its weights.
template <int kBlock>
void locate(double const* distances, Knots const& knots, SplinePlaces<kBlock>& places) {
  double where[kBlock];
  double scale[kBlock];
#pragma omp simd
  for (int l = 0; l < kBlock; ++l) {
    bool const beyond = distances[l] >= knots.cutoff;
    double const r = beyond || distances[l] < 0.0 ? 0.0 : distances[l];
    double const place = r * knots.per_length;
    auto const interval = static_cast<std::int32_t>(place < knots.last ? place : knots.last);
    places.interval[l] = interval;
    where[l] = place - static_cast<double>(interval);
    scale[l] = beyond ? 0.0 : 1.0 / 120.0;  // 1 / 5!
  }
#pragma omp simd
  for (int l = 0; l < kBlock; ++l) {  // doubles alone: these fill the widest registers
    double const u = where[l];
    double b[kOrder] = {scale[l] * (1.0 - u), scale[l] * u};
    raise<2>(u, b);
    raise<3>(u, b);
    raise<4>(u, b);
    double const slope = 5.0 * knots.per_length;  // 5! / 4!
    places.slope[0][l] = -slope * b[0];
    for (int j = 1; j < kDegree; ++j) places.slope[j][l] = slope * (b[j - 1] - b[j]);
    places.slope[kDegree][l] = slope * b[kDegree - 1];
    raise<5>(u, b);
    for (int j = 0; j < kOrder; ++j) places.value[j][l] = b[j];
  }
}

}  // namespace
}  // namespace torchml::operators::TORCHML_SIMD
