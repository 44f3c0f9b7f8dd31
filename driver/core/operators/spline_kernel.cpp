// Plain loops over features that the compiler turns into vectors, once per instruction set.
#include "operators/spline_kernel.hpp"

#include "operators/spline_places.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

constexpr int kBlock = 16;  // distances located at once, one per lane
using Places = SplinePlaces<kBlock>;

template <class Real>
void evaluate(Spline<Real> const& spline, Places const& places, int l, Real* __restrict values) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real const b0 = static_cast<Real>(places.value[0][l]);
  Real const b1 = static_cast<Real>(places.value[1][l]);
  Real const b2 = static_cast<Real>(places.value[2][l]);
  Real const b3 = static_cast<Real>(places.value[3][l]);
  Real const b4 = static_cast<Real>(places.value[4][l]);
  Real const b5 = static_cast<Real>(places.value[5][l]);
#pragma omp simd
  for (std::int64_t k = 0; k < n; ++k)
    values[k] = (b0 * c[k] + b1 * c[k + n] + b2 * c[k + 2 * n]) +
                (b3 * c[k + 3 * n] + b4 * c[k + 4 * n] + b5 * c[k + 5 * n]);
}

template <class Real>
void evaluate(Spline<Real> const& spline, Places const& places, int l, Real* __restrict values,
              Real* __restrict slopes) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real b[kOrder];
  Real s[kOrder];
  for (int j = 0; j < kOrder; ++j) {
    b[j] = static_cast<Real>(places.value[j][l]);
    s[j] = static_cast<Real>(places.slope[j][l]);
  }
#pragma omp simd
  for (std::int64_t k = 0; k < n; ++k) {
    Real const c0 = c[k], c1 = c[k + n], c2 = c[k + 2 * n];
    Real const c3 = c[k + 3 * n], c4 = c[k + 4 * n], c5 = c[k + 5 * n];
    values[k] = (b[0] * c0 + b[1] * c1 + b[2] * c2) + (b[3] * c3 + b[4] * c4 + b[5] * c5);
    slopes[k] = (s[0] * c0 + s[1] * c1 + s[2] * c2) + (s[3] * c3 + s[4] * c4 + s[5] * c5);
  }
}

/// The distances first .. first + count, filled up to a block.
void take(double const* distances, std::int64_t count, double* block) {
  for (std::int64_t l = 0; l < kBlock; ++l) block[l] = l < count ? distances[l] : 0.0;
}

template <class Real>
void values_of(Spline<Real> const& spline, double const* distances, std::int64_t begin,
               std::int64_t end, Real* values) {
  Places places;
  double block[kBlock];
  for (std::int64_t first = begin; first < end; first += kBlock) {
    auto const count = end - first < kBlock ? end - first : kBlock;
    take(distances + first, count, block);
    locate(block, spline.cutoff, spline.intervals, places);
    for (int l = 0; l < count; ++l, values += spline.width) evaluate(spline, places, l, values);
  }
}

template <class Real>
void slopes_of(Spline<Real> const& spline, double const* distances, Real const* gradient,
               std::int64_t begin, std::int64_t end, double* result) {
  Places places;
  double block[kBlock];
  auto const n = spline.width;
  for (std::int64_t first = begin; first < end; first += kBlock) {
    auto const count = end - first < kBlock ? end - first : kBlock;
    take(distances + first, count, block);
    locate(block, spline.cutoff, spline.intervals, places);
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

/// Edges of one node, up to a block of them.
struct Edges {
  int count = 0;
  std::int64_t edge[kBlock];
  std::int64_t other[kBlock];
  double distance[kBlock];
};

/// The next edges of a node from `slot` on; edges beyond the `limit` do not take part.
std::int32_t next_edges(EdgeList const& list, std::int32_t slot, std::int32_t end,
                        std::int64_t limit, double const* distances, Edges& edges) {
  edges.count = 0;
  for (; slot < end && edges.count < kBlock; ++slot) {
    if (list.edges[slot] >= limit) return end;  // they are sorted by number
    edges.edge[edges.count] = list.edges[slot];
    edges.other[edges.count] = list.others[slot];
    edges.distance[edges.count++] = distances[list.edges[slot]];
  }
  for (int l = edges.count; l < kBlock; ++l) edges.distance[l] = 0.0;
  return slot;
}

template <class Real>
void add_product(std::int64_t width, Real const* __restrict w, Real const* __restrict x,
                 Real* __restrict sum) {
#pragma omp simd
  for (std::int64_t f = 0; f < width; ++f) sum[f] += w[f] * x[f];
}

template <class Real>
void add_product(std::int64_t width, Real const* __restrict w, Real factor,
                 Real const* __restrict x, Real* __restrict sum) {
#pragma omp simd
  for (std::int64_t f = 0; f < width; ++f) sum[f] += w[f] * (factor * x[f]);
}

/// For one sum per edge: filters stay in registers.
template <class Real>
void add_filtered(Spline<Real> const& spline, Places const& places, int l, Real const* __restrict x,
                  Real* __restrict sum) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real b[kOrder];
  for (int j = 0; j < kOrder; ++j) b[j] = static_cast<Real>(places.value[j][l]);
#pragma omp simd
  for (std::int64_t k = 0; k < n; ++k)
    sum[k] += x[k] * ((b[0] * c[k] + b[1] * c[k + n] + b[2] * c[k + 2 * n]) +
                      (b[3] * c[k + 3 * n] + b[4] * c[k + 4 * n] + b[5] * c[k + 5 * n]));
}

template <class Real>
bool sums_of(Convolution<Real> const& all, EdgeList const& by_target, std::int64_t begin,
             std::int64_t end, Real* filters, Real* sums) {
  auto const width = all.width;
  Places places;
  Edges edges;
  for (std::int64_t target = begin; target < end; ++target) {
    Real* const out = sums + target * all.rows_out * width;
    for (std::int64_t k = 0; k < all.rows_out * width; ++k) out[k] = 0;
    auto slot = by_target.offsets[target];
    auto const stop = by_target.offsets[target + 1];
    while (slot < stop) {
      slot = next_edges(by_target, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, all.spline.cutoff, all.spline.intervals, places);
      for (int l = 0; l < edges.count; ++l) {
        if (edges.other[l] >= all.sources) return false;
        Real const* const x = all.features + edges.other[l] * all.rows_in * width;
        if (all.single()) {
          add_filtered(all.spline, places, l, x, out);
          continue;
        }
        Real const* const factors = all.factors + edges.edge[l] * all.factor_count;
        evaluate(all.spline, places, l, filters);
        for (Term const* term = all.terms; term != all.terms + all.term_count; ++term) {
          Real const* const w = filters + term->part * width;
          Real* const sum = out + term->out * width;
          if (term->factor < 0)
            add_product(width, w, x + term->in * width, sum);
          else
            add_product(width, w, factors[term->factor], x + term->in * width, sum);
        }
      }
    }
  }
  return true;
}

/// Contributions of one term to the derivatives: sums over the features of filter and slope times
/// features times gradient.
template <class Real>
struct Shares {
  Real slope = 0;
  Real value = 0;
};

template <class Real>
Shares<Real> add_gradients(std::int64_t width, Real const* __restrict w, Real const* __restrict s,
                           Real factor, Real const* __restrict x, Real const* __restrict g,
                           Real* __restrict to_features) {
  Real slope = 0;
  Real value = 0;
  if (to_features == nullptr) {
#pragma omp simd reduction(+ : slope, value)
    for (std::int64_t f = 0; f < width; ++f) {
      Real const product = x[f] * g[f];
      slope += s[f] * product;
      value += w[f] * product;
    }
  } else {
#pragma omp simd reduction(+ : slope, value)
    for (std::int64_t f = 0; f < width; ++f) {
      Real const product = x[f] * g[f];
      slope += s[f] * product;
      value += w[f] * product;
      to_features[f] += factor * (w[f] * g[f]);
    }
  }
  return {slope, value};
}

/// Derivatives of `add_filtered`; returns that by the distance.
template <class Real>
double add_filtered_gradients(Spline<Real> const& spline, Places const& places, int l,
                              Real const* __restrict x, Real const* __restrict g,
                              Real* __restrict to_features) {
  auto const n = spline.width;
  Real const* __restrict c = spline.coefficients + places.interval[l] * n;
  Real b[kOrder];
  Real s[kOrder];
  for (int j = 0; j < kOrder; ++j) {
    b[j] = static_cast<Real>(places.value[j][l]);
    s[j] = static_cast<Real>(places.slope[j][l]);
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
                  std::int64_t begin, std::int64_t end, Real* scratch,
                  ConvolutionGradients<Real> const& gradients) {
  auto const width = all.width;
  Real* const filters = scratch;
  Real* const slopes = scratch + all.spline.width;
  Places places;
  Edges edges;
  for (std::int64_t source = begin; source < end; ++source) {
    Real const* const x = all.features + source * all.rows_in * width;
    Real* const to_x =
        gradients.features == nullptr ? nullptr : gradients.features + source * all.rows_in * width;
    if (to_x != nullptr)
      for (std::int64_t k = 0; k < all.rows_in * width; ++k) to_x[k] = 0;
    auto slot = by_source.offsets[source];
    auto const stop = by_source.offsets[source + 1];
    while (slot < stop) {
      slot = next_edges(by_source, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, all.spline.cutoff, all.spline.intervals, places);
      for (int l = 0; l < edges.count; ++l) {
        auto const edge = edges.edge[l];
        Real* const to_factors =
            gradients.factors == nullptr ? nullptr : gradients.factors + edge * all.factor_count;
        if (to_factors != nullptr)
          for (std::int64_t k = 0; k < all.factor_count; ++k) to_factors[k] = 0;
        gradients.distances[edge] = 0.0;
        if (edges.other[l] >= all.targets) continue;  // the sum of this target was not requested
        Real const* const g = gradient + edges.other[l] * all.rows_out * width;
        if (all.single()) {
          gradients.distances[edge] = add_filtered_gradients(all.spline, places, l, x, g, to_x);
          continue;
        }
        Real const* const factors = all.factors + edge * all.factor_count;
        evaluate(all.spline, places, l, filters, slopes);
        double total = 0.0;
        for (Term const* term = all.terms; term != all.terms + all.term_count; ++term) {
          Real const factor = term->factor < 0 ? Real(1) : factors[term->factor];
          auto const share =
              add_gradients(width, filters + term->part * width, slopes + term->part * width,
                            factor, x + term->in * width, g + term->out * width,
                            to_x == nullptr ? nullptr : to_x + term->in * width);
          total += static_cast<double>(factor * share.slope);
          if (to_factors != nullptr && term->factor >= 0) to_factors[term->factor] += share.value;
        }
        gradients.distances[edge] = total;
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
