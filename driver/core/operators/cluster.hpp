// torchml::cluster_energies: a cluster expansion of atomic energies, all of its steps for a few
// atoms at a time.
#pragma once

#include <torch/types.h>

#include <tuple>
#include <vector>

namespace torchml::operators {

/// A = density, see density_kernel.hpp; then, for each target t and its element z,
///   x[lm, k] = sum_q A[lm, q] mix[l, q, k] + (lm == 0) bias[k]
///   h[o, k] = sum over terms of output o of coefficients[z, term, k] * prod_f x[factor f, k]
///   energy = linear . h + network(h) + offset[z] - (1 - s(crowding[z] . A[0])) vacuum[z]
/// with s(t) = t^3 (10 - 15 t + 6 t^2) up to t = 1, and 1 beyond. The network has layers W, b with
/// silu between them, the last of one unit; without layers it is zero. Several readouts share all
/// but linear, the last layer, offset and vacuum, which then have a dimension more, the first.
struct ClusterInputs {
  torch::Tensor vectors;       ///< f64 [E, 3], source minus target (Å)
  torch::Tensor species;       ///< i64 [nodes]
  torch::Tensor edge_index;    ///< i64 [2, E], for devices without our kernels
  torch::Tensor order;         ///< from edge_order
  torch::Tensor core;          ///< f64 [S, S] (Å)
  torch::Tensor weights;       ///< [S, C] in the model's type, as what follows
  torch::Tensor table;         ///< [intervals + 5, N]
  torch::Tensor mix;           ///< [lmax + 1, C * N, K]
  torch::Tensor bias;          ///< [K]
  torch::Tensor coefficients;  ///< [S, T, K]
  torch::Tensor terms;         ///< i32 [T, 1 + degree], as products takes them
  torch::Tensor linear;        ///< [outputs * K] or [R, outputs * K]
  std::vector<torch::Tensor> layers;
  torch::Tensor crowding;  ///< [S, C * N]
  torch::Tensor offset;    ///< f64 [S] or [R, S] (eV)
  torch::Tensor vacuum;    ///< f64 [S] or [R, S] (eV)
  std::int64_t outputs;
  double cutoff;  ///< Å
  std::int64_t lmax;
};

/// Energies of the first nodes, f64 [nodes] or [R, nodes] (eV), the same for any number of threads.
/// Memory for anything but results belongs to a few atoms.
torch::Tensor cluster_energies(ClusterInputs const& inputs, std::int64_t nodes);

/// And the derivative of the energy of the target by each vector: f64 [E, 3] or [R, E, 3] (eV/Å).
std::tuple<torch::Tensor, torch::Tensor> cluster_energies_with_slopes(ClusterInputs const& inputs,
                                                                      std::int64_t nodes);

/// The derivatives of sum(gradient * energies) by the vectors, from the slopes: f64 [E, 3].
torch::Tensor cluster_energies_backward(torch::Tensor const& gradient, torch::Tensor const& slopes,
                                        torch::Tensor const& edge_index);

/// The same energies by torch's operators, torchml::density and torchml::products, for devices
/// without our kernels; autograd differentiates them.
torch::Tensor composite_cluster_energies(ClusterInputs const& inputs, c10::SymInt const& nodes);

}  // namespace torchml::operators
