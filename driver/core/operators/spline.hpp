// torchml::spline: functions of the distance as splines, and their slopes.
#pragma once

#include <torch/types.h>

#include "operators/spline_kernel.hpp"

namespace torchml::operators {

/// r f64 [E] (Å), table [intervals + 5, K] in float32 or float64 (see Spline); values [E, K] in the
/// table's type.
torch::Tensor spline(torch::Tensor const& r, torch::Tensor const& table, double cutoff);

/// sum_k gradient[e, k] df_k/dr: f64 [E].
torch::Tensor spline_backward(torch::Tensor const& gradient, torch::Tensor const& r,
                              torch::Tensor const& table, double cutoff);

/// Values and, if requested, slopes (1/Å), with torch's operators only, for devices without our
/// kernels.
struct SplineValues {
  torch::Tensor values;  ///< [E, K]
  torch::Tensor slopes;  ///< [E, K]
};
SplineValues composite_spline(torch::Tensor const& r, torch::Tensor const& table, double cutoff,
                              bool slopes);

/// Throws Error (named after `name`) when r and table are not as above.
void check_spline(char const* name, torch::Tensor const& r, torch::Tensor const& table,
                  double cutoff);

/// Edges of one share of the work of a thread.
inline constexpr std::int64_t kGrain = 1024;

template <class Real>
Spline<Real> spline_of(torch::Tensor const& table, double cutoff) {
  return {table.const_data_ptr<Real>(), table.size(0) - 5, table.size(1), cutoff};
}

}  // namespace torchml::operators
