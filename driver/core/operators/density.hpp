// torchml::density: the density of neighbours in radial functions and harmonics, and its
// derivatives.
#pragma once

#include <torch/types.h>

namespace torchml::operators {

/// What a density takes (see Density in density_kernel.hpp).
struct DensityInputs {
  torch::Tensor vectors;     ///< f64 [E, 3], source minus target (Å)
  torch::Tensor species;     ///< i64 [M], of the nodes
  torch::Tensor edge_index;  ///< i64 [2, E], row 0 source, row 1 target
  torch::Tensor order;       ///< of edge_order; not read by the composites
  torch::Tensor core;        ///< f64 [S, S], row target (Å)
  torch::Tensor weights;     ///< [S, C], float32 or float64
  torch::Tensor table;       ///< [intervals + 5, N], as the weights
  double cutoff;             ///< Å
  std::int64_t lmax;
};

/// The densities at nodes 0 .. nodes: [nodes, (lmax + 1)^2, C * N]. All results are the same for
/// any number of threads.
torch::Tensor density(DensityInputs const& inputs, std::int64_t nodes);

/// The derivatives by the vectors, f64 [E, 3], given those by the densities.
torch::Tensor density_backward(torch::Tensor const& gradient, DensityInputs const& inputs);

/// The derivatives of the densities where the vectors move along the directions, f64 [E, 3].
torch::Tensor density_tangent(torch::Tensor const& directions, DensityInputs const& inputs,
                              std::int64_t nodes);

/// The same with torch's operators only, for devices without our kernels; autograd differentiates
/// them.
torch::Tensor composite_density(DensityInputs const& inputs, std::int64_t nodes);
torch::Tensor composite_density_backward(torch::Tensor const& gradient,
                                         DensityInputs const& inputs);
torch::Tensor composite_density_tangent(torch::Tensor const& directions,
                                        DensityInputs const& inputs, std::int64_t nodes);

/// Throws Error when the inputs are not as above.
void check_density(DensityInputs const& inputs, std::int64_t nodes);

}  // namespace torchml::operators
