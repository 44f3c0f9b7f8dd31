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

/// The pieces of the B-spline by the recursion of de Boor and Cox. What lies beyond the cutoff gets
/// weights of zero; a NaN spoils its weights.
template <int kBlock>
void locate(double const* distances, double cutoff, std::int64_t intervals,
            SplinePlaces<kBlock>& places) {
  double const per_length = static_cast<double>(intervals) / cutoff;
  auto const last = static_cast<double>(intervals - 1);
  double u[kBlock];
  double inside[kBlock];
  auto& b = places.value;
  for (int l = 0; l < kBlock; ++l) {
    bool const beyond = distances[l] >= cutoff;
    double const r = beyond || distances[l] < 0.0 ? 0.0 : distances[l];
    double const place = r * per_length;
    auto const interval = static_cast<std::int32_t>(place < last ? place : last);
    places.interval[l] = interval;
    u[l] = place - static_cast<double>(interval);
    inside[l] = beyond ? 0.0 : 1.0;
    b[0][l] = 1.0 - u[l];
    b[1][l] = u[l];
  }
  auto const raise = [&](int degree) {
    double const scale = 1.0 / degree;
    for (int l = 0; l < kBlock; ++l) b[degree][l] = scale * u[l] * b[degree - 1][l];
    for (int j = degree - 1; j > 0; --j)
      for (int l = 0; l < kBlock; ++l)
        b[j][l] = scale * ((u[l] + (degree - j)) * b[j - 1][l] + ((j + 1) - u[l]) * b[j][l]);
    for (int l = 0; l < kBlock; ++l) b[0][l] *= scale * (1.0 - u[l]);
  };
  for (int degree = 2; degree < kDegree; ++degree) raise(degree);
  auto& slope = places.slope;
  for (int l = 0; l < kBlock; ++l) slope[0][l] = -inside[l] * per_length * b[0][l];
  for (int j = 1; j < kDegree; ++j)
    for (int l = 0; l < kBlock; ++l) slope[j][l] = inside[l] * per_length * (b[j - 1][l] - b[j][l]);
  for (int l = 0; l < kBlock; ++l) slope[kDegree][l] = inside[l] * per_length * b[kDegree - 1][l];
  raise(kDegree);
  for (int j = 0; j < kOrder; ++j)
    for (int l = 0; l < kBlock; ++l) b[j][l] *= inside[l];
}

}  // namespace
}  // namespace torchml::operators::TORCHML_SIMD
