// Densities and their derivatives with torch's operators only.
#include <cmath>
#include <vector>

#include "operators/density.hpp"
#include "operators/spline.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using torch::Tensor;

/// 10 t^3 - 15 t^4 + 6 t^5: 0 at 0, 1 at 1, and flat at both.
Tensor step(Tensor const& t) {
  return t * t * t * (10.0 - t * (15.0 - 6.0 * t));
}

/// The functions of the distances: held back from the core to nine tenths of it, and fading from
/// the core to three quarters of it.
SplineValues functions_of(Tensor const& r, Tensor const& core, DensityInputs const& in,
                          bool slopes) {
  auto const some = core > 0.0;
  auto const b = torch::where(some, core, torch::ones_like(core));
  auto const outside = some.logical_and(r < core).logical_not();
  auto const one = torch::ones_like(r);
  auto const t = (10.0 * r / b - 9.0).clamp(0.0, 1.0);
  auto const within = b - 0.1 * b * (0.5 - t.pow(4) * (2.5 - 3.0 * t + t * t));
  auto const u = torch::where(outside, one, (4.0 * r / b - 3.0).clamp(0.0, 1.0));
  auto const type = in.table.scalar_type();
  auto const share = step(u).to(type).unsqueeze(1);
  auto splines = composite_spline(torch::where(outside, r, within), in.table, in.cutoff, slopes);
  if (slopes) {
    auto const bend = torch::where(outside, one, step(t)).to(type).unsqueeze(1);
    auto const slope = (120.0 * (u * (1.0 - u)).square() / b).to(type).unsqueeze(1);
    splines.slopes = share * bend * splines.slopes + slope * splines.values;
  }
  splines.values = share * splines.values;
  return splines;
}

/// The harmonics of unit vectors, and their derivatives by x, y, z as if these were independent:
/// [E, rows]. See density_harmonics.hpp.
struct CompositeHarmonics {
  Tensor values;
  Tensor by_x;
  Tensor by_y;
  Tensor by_z;
};

CompositeHarmonics harmonics(Tensor const& x, Tensor const& y, Tensor const& z, std::int64_t lmax) {
  auto const zero = torch::zeros_like(z);
  std::vector<Tensor> cosine = {torch::ones_like(z)}, sine = {zero};
  for (std::int64_t m = 1; m <= lmax; ++m) {
    cosine.push_back(x * cosine[m - 1] - y * sine[m - 1]);
    sine.push_back(x * sine[m - 1] + y * cosine[m - 1]);
  }
  // Derivatives of the Legendre polynomials: p[l][m], m <= l + 1.
  std::vector<std::vector<Tensor>> p(lmax + 1, std::vector<Tensor>(lmax + 2, zero));
  for (std::int64_t m = 0; m <= lmax; ++m) {
    double odd = 1.0;
    for (std::int64_t k = 1; k <= m; ++k) odd *= static_cast<double>(2 * k - 1);
    p[m][m] = torch::full_like(z, odd);
    for (std::int64_t l = m + 1; l <= lmax; ++l) {
      auto const now = static_cast<double>(2 * l - 1) * z * p[l - 1][m];
      auto const before = l > m + 1 ? static_cast<double>(l + m - 1) * p[l - 2][m] : zero;
      p[l][m] = (now - before) / static_cast<double>(l - m);
    }
  }
  std::vector<Tensor> values, by_x, by_y, by_z;
  for (std::int64_t l = 0; l <= lmax; ++l)
    for (std::int64_t m = -l; m <= l; ++m) {
      auto const order = std::abs(m);
      double const n =
          std::sqrt((m == 0 ? 1.0 : 2.0) * std::tgamma(l - order + 1) / std::tgamma(l + order + 1));
      auto const& turn = m < 0 ? sine[order] : cosine[order];
      values.push_back(n * p[l][order] * turn);
      by_z.push_back(n * p[l][order + 1] * turn);
      if (order == 0) {
        by_x.push_back(zero);
        by_y.push_back(zero);
        continue;
      }
      auto const slope = n * static_cast<double>(order) * p[l][order];
      by_x.push_back(slope * (m < 0 ? sine : cosine)[order - 1]);
      by_y.push_back(m < 0 ? slope * cosine[order - 1] : -slope * sine[order - 1]);
    }
  return {torch::stack(values, 1), torch::stack(by_x, 1), torch::stack(by_y, 1),
          torch::stack(by_z, 1)};
}

/// What one edge adds to a density is weights * functions * harmonics.
struct Parts {
  Tensor sources, targets;
  Tensor r;     ///< f64 [E, 1]
  Tensor unit;  ///< f64 [E, 3]
  SplineValues splines;
  CompositeHarmonics angular;
  Tensor weights;  ///< [E, C]
};

Parts parts_of(DensityInputs const& in, bool slopes) {
  Parts parts;
  parts.sources = in.edge_index.select(0, 0);
  parts.targets = in.edge_index.select(0, 1);
  auto const r = in.vectors.square().sum(1).sqrt();
  parts.r = r.unsqueeze(1);
  parts.unit = in.vectors / parts.r;
  auto const to = in.species.index_select(0, parts.targets);
  auto const from = in.species.index_select(0, parts.sources);
  auto const core = in.core.reshape({-1}).index_select(0, to * in.core.size(1) + from);
  parts.splines = functions_of(r, core, in, slopes);
  auto const u = parts.unit.to(in.table.scalar_type()).unbind(1);
  parts.angular = harmonics(u[0], u[1], u[2], in.lmax);
  parts.weights = in.weights.index_select(0, from);
  return parts;
}

/// Sums of weights * functions * harmonics over the edges into nodes 0 .. nodes.
Tensor sums(Parts const& parts, Tensor const& functions, Tensor const& harmonics,
            std::int64_t nodes) {
  auto const edges = functions.size(0);
  auto const columns = (parts.weights.unsqueeze(2) * functions.unsqueeze(1))
                           .reshape({edges, parts.weights.size(1) * functions.size(1)});
  auto const terms = harmonics.unsqueeze(2) * columns.unsqueeze(1);
  auto const all = torch::zeros({nodes + 1, terms.size(1), terms.size(2)}, terms.options());
  return all.index_add(0, parts.targets.clamp_max(nodes), terms).narrow(0, 0, nodes);
}

}  // namespace

Tensor composite_density(DensityInputs const& inputs, std::int64_t nodes) {
  check_density(inputs, nodes);
  auto const parts = parts_of(inputs, false);
  return sums(parts, parts.splines.values, parts.angular.values, nodes);
}

Tensor composite_density_backward(Tensor const& gradient, DensityInputs const& inputs) {
  check_density(inputs, 0);
  auto const parts = parts_of(inputs, true);
  auto const edges = parts.targets.size(0), nodes = gradient.size(0);
  auto const& weights = parts.weights;
  auto const beyond = torch::zeros({1, gradient.size(1), gradient.size(2)}, gradient.options());
  // [E, rows, N]: the derivatives by functions times harmonics.
  auto const by_products =
      (torch::cat({gradient, beyond})
           .index_select(0, parts.targets.clamp_max(nodes))
           .reshape({edges, gradient.size(1), weights.size(1), inputs.table.size(1)}) *
       weights.unsqueeze(1).unsqueeze(3))
          .sum(2);
  auto const by_harmonics = (by_products * parts.splines.values.unsqueeze(1)).sum(2);
  auto const along = (by_products * parts.splines.slopes.unsqueeze(1)).sum(2);
  auto const radial = (along * parts.angular.values).sum(1).to(torch::kFloat64);
  auto const by_unit = torch::stack({(by_harmonics * parts.angular.by_x).sum(1),
                                     (by_harmonics * parts.angular.by_y).sum(1),
                                     (by_harmonics * parts.angular.by_z).sum(1)},
                                    1)
                           .to(torch::kFloat64);
  auto const& u = parts.unit;
  auto const across = by_unit - u * (u * by_unit).sum(1, true);
  return radial.unsqueeze(1) * u + across / parts.r;
}

Tensor composite_density_tangent(Tensor const& directions, DensityInputs const& inputs,
                                 std::int64_t nodes) {
  check_density(inputs, nodes);
  auto const parts = parts_of(inputs, true);
  auto const& u = parts.unit;
  auto const along = (u * directions).sum(1, true);
  auto const across = ((directions - u * along) / parts.r).to(inputs.table.scalar_type());
  auto const slopes = along.to(inputs.table.scalar_type()) * parts.splines.slopes;
  auto const turned = across.narrow(1, 0, 1) * parts.angular.by_x +
                      across.narrow(1, 1, 1) * parts.angular.by_y +
                      across.narrow(1, 2, 1) * parts.angular.by_z;
  return sums(parts, slopes, parts.angular.values, nodes) +
         sums(parts, parts.splines.values, turned, nodes);
}

}  // namespace torchml::operators
