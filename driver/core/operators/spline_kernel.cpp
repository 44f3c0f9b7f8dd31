// Plain loops over features that the compiler turns into vectors, once per instruction set.
#include "operators/spline_kernel.hpp"

#include "operators/edge_blocks.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

template <class Real>
void evaluate(Spline<Real> const& spline, Places<Real> const& places, int l,
              Real* __restrict values) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real const b0 = places.value[0][l];
  Real const b1 = places.value[1][l];
  Real const b2 = places.value[2][l];
  Real const b3 = places.value[3][l];
  Real const b4 = places.value[4][l];
  Real const b5 = places.value[5][l];
#pragma omp simd
  for (std::int64_t k = 0; k < n; ++k)
    values[k] = (b0 * c[k] + b1 * c[k + n] + b2 * c[k + 2 * n]) +
                (b3 * c[k + 3 * n] + b4 * c[k + 4 * n] + b5 * c[k + 5 * n]);
}

/// The distances first .. first + count, filled up to a block.
void take(double const* distances, std::int64_t count, double* block) {
  for (std::int64_t l = 0; l < kBlock; ++l) block[l] = l < count ? distances[l] : 0.0;
}

template <class Real>
void values_of(Spline<Real> const& spline, double const* distances, std::int64_t begin,
               std::int64_t end, Real* values) {
  Knots const knots(spline.cutoff, spline.intervals);
  Places<Real> places;
  double block[kBlock];
  for (std::int64_t first = begin; first < end; first += kBlock) {
    auto const count = end - first < kBlock ? end - first : kBlock;
    take(distances + first, count, block);
    locate(block, knots, places);
    for (int l = 0; l < count; ++l, values += spline.width) evaluate(spline, places, l, values);
  }
}

template <class Real>
void slopes_of(Spline<Real> const& spline, double const* distances, Real const* gradient,
               std::int64_t begin, std::int64_t end, double* result) {
  Knots const knots(spline.cutoff, spline.intervals);
  SplinePlaces<kBlock> places;
  double block[kBlock];
  auto const n = spline.width;
  for (std::int64_t first = begin; first < end; first += kBlock) {
    auto const count = end - first < kBlock ? end - first : kBlock;
    take(distances + first, count, block);
    locate(block, knots, places);
    for (int l = 0; l < count; ++l, gradient += n) {
      Real const* __restrict c = spline.coefficients + places.interval[l] * n;
      double total = 0.0;
      for (int j = 0; j < kOrder; ++j) {
        Real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t k = 0; k < n; ++k) sum += gradient[k] * c[k + j * n];
        total += places.slope[j][l] * static_cast<double>(sum);
      }
      *result++ = total;
    }
  }
}

/// For one sum per edge: filters stay in registers.
template <class Real>
void add_filtered(Spline<Real> const& spline, Places<Real> const& places, int l,
                  Real const* __restrict x, Real* __restrict sum) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real b[kOrder];
  for (int j = 0; j < kOrder; ++j) b[j] = places.value[j][l];
#pragma omp simd
  for (std::int64_t k = 0; k < n; ++k)
    sum[k] += x[k] * ((b[0] * c[k] + b[1] * c[k + n] + b[2] * c[k + 2 * n]) +
                      (b[3] * c[k + 3 * n] + b[4] * c[k + 4 * n] + b[5] * c[k + 5 * n]));
}

template <class Real>
bool sums_of(Convolution<Real> const& all, EdgeList const& by_target, std::int64_t begin,
             std::int64_t end, Real* sums) {
  auto const width = all.width;
  Knots const knots(all.spline.cutoff, all.spline.intervals);
  Places<Real> places;
  Edges edges;
  for (std::int64_t target = begin; target < end; ++target) {
    Real* const out = sums + target * width;
    for (std::int64_t k = 0; k < width; ++k) out[k] = 0;
    auto slot = by_target.offsets[target];
    auto const stop = by_target.offsets[target + 1];
    while (slot < stop) {
      slot = next_edges(by_target, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, knots, places);
      for (int l = 0; l < edges.count; ++l) {
        if (edges.other[l] >= all.sources) return false;
        add_filtered(all.spline, places, l, all.features + edges.other[l] * width, out);
      }
    }
  }
  return true;
}

/// Derivatives of `add_filtered`; returns that by the distance.
template <class Real>
double add_filtered_gradients(Spline<Real> const& spline, Places<Real> const& places, int l,
                              Real const* __restrict x, Real const* __restrict g,
                              Real* __restrict to_features) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real b[kOrder];
  Real s[kOrder];
  for (int j = 0; j < kOrder; ++j) {
    b[j] = places.value[j][l];
    s[j] = places.slope[j][l];
  }
  Real total = 0;
  if (to_features == nullptr) {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < n; ++k)
      total += x[k] * g[k] *
               ((s[0] * c[k] + s[1] * c[k + n] + s[2] * c[k + 2 * n]) +
                (s[3] * c[k + 3 * n] + s[4] * c[k + 4 * n] + s[5] * c[k + 5 * n]));
  } else {
#pragma omp simd reduction(+ : total)
    for (std::int64_t k = 0; k < n; ++k) {
      Real const c0 = c[k], c1 = c[k + n], c2 = c[k + 2 * n];
      Real const c3 = c[k + 3 * n], c4 = c[k + 4 * n], c5 = c[k + 5 * n];
      total +=
          x[k] * g[k] * ((s[0] * c0 + s[1] * c1 + s[2] * c2) + (s[3] * c3 + s[4] * c4 + s[5] * c5));
      to_features[k] +=
          g[k] * ((b[0] * c0 + b[1] * c1 + b[2] * c2) + (b[3] * c3 + b[4] * c4 + b[5] * c5));
    }
  }
  return static_cast<double>(total);
}

template <class Real>
void gradients_of(Convolution<Real> const& all, EdgeList const& by_source, Real const* gradient,
                  std::int64_t begin, std::int64_t end,
                  ConvolutionGradients<Real> const& gradients) {
  auto const width = all.width;
  Knots const knots(all.spline.cutoff, all.spline.intervals);
  Places<Real> places;
  Edges edges;
  for (std::int64_t source = begin; source < end; ++source) {
    Real const* const x = all.features + source * width;
    Real* const to_x =
        gradients.features == nullptr ? nullptr : gradients.features + source * width;
    if (to_x != nullptr)
      for (std::int64_t k = 0; k < width; ++k) to_x[k] = 0;
    auto slot = by_source.offsets[source];
    auto const stop = by_source.offsets[source + 1];
    while (slot < stop) {
      slot = next_edges(by_source, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, knots, places);
      for (int l = 0; l < edges.count; ++l) {
        auto const edge = edges.edge[l];
        gradients.distances[edge] = 0.0;
        if (edges.other[l] >= all.targets) continue;  // the sum of this target was not requested
        Real const* const g = gradient + edges.other[l] * width;
        gradients.distances[edge] = add_filtered_gradients(all.spline, places, l, x, g, to_x);
      }
    }
  }
}

}  // namespace

SplineKernel64 const spline_kernel_f64 = {values_of<double>, slopes_of<double>, sums_of<double>,
                                          gradients_of<double>};
SplineKernel32 const spline_kernel_f32 = {values_of<float>, slopes_of<float>, sums_of<float>,
                                          gradients_of<float>};

}  // namespace torchml::operators::TORCHML_SIMD
