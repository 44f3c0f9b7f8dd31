// Some vectors of channels are a tile. Tiles are outermost, so that the coefficients of the splines
// and the features stay in the second cache; sums or gradients of a target stay in the first.
#include "operators/convolution_kernel.hpp"

#include "operators/edge_blocks.hpp"
#include "operators/lanes.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

/// Vectors of a tile: as many as registers hold.
#if defined(__AVX512F__)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

/// Channels of n vectors; of a last vector that is not full, the first `count`.
template <class Real, int n>
struct Tile {
  std::int64_t channel;
  std::int64_t count;
};

template <class Real, int n>
struct Row {
  Lanes<Real> of[n];

  TORCHML_INLINE void add(Row const& a, Row const& b) {
    each<n>([&](auto v) { of[v] += a.of[v] * b.of[v]; });
  }
  TORCHML_INLINE void add(Row const& a, Real b) {
    each<n>([&](auto v) { of[v] += a.of[v] * b; });
  }
};

/// `row` begins at channel 0.
template <class Real, int n>
TORCHML_INLINE Row<Real, n> read(Tile<Real, n> const& tile, Real const* row) {
  Row<Real, n> a;
  if constexpr (n == 1)
    a.of[0] = load(row + tile.channel, tile.count);
  else
    each<n>([&](auto v) { a.of[v] = load(row + tile.channel + v * lanes<Real>); });
  return a;
}
template <class Real, int n>
TORCHML_INLINE void write(Tile<Real, n> const& tile, Row<Real, n> const& a, Real* row) {
  if constexpr (n == 1)
    store(a.of[0], row + tile.channel, tile.count);
  else
    each<n>([&](auto v) { store(a.of[v], row + tile.channel + v * lanes<Real>); });
}

/// Weights of the coefficients of one edge.
template <class Real>
struct Weights {
  Real value[kOrder];
  Real slope[kOrder];

  Weights(Places<Real> const& places, int l) {
    for (int j = 0; j < kOrder; ++j) {
      value[j] = places.value[j][l];
      slope[j] = places.slope[j][l];
    }
  }
};

template <bool slopes, class Real, int n>
TORCHML_INLINE void filter(Tile<Real, n> const& tile, Weights<Real> const& weights,
                           Real const* coefficients, std::int64_t stride, Row<Real, n>& value,
                           Row<Real, n>& slope) {
  value = {};
  slope = {};
  for (int j = 0; j < kOrder; ++j) {
    auto const c = read(tile, coefficients + j * stride);
    value.add(c, weights.value[j]);
    if constexpr (slopes) slope.add(c, weights.slope[j]);
  }
}

template <class Real, int n>
bool add_sums(Convolution<Real> const& all, EdgeList const& by_target, std::int64_t begin,
              std::int64_t end, Tile<Real, n> const& tile, Row<Real, n>* out, Real* sums) {
  auto const width = all.width;
  Knots const knots(all.spline.cutoff, all.spline.intervals);
  Places<Real> places;
  Edges edges;
  for (std::int64_t target = begin; target < end; ++target) {
    for (std::int64_t row = 0; row < all.rows_out; ++row) out[row] = {};
    auto slot = by_target.offsets[target];
    auto const stop = by_target.offsets[target + 1];
    while (slot < stop) {
      slot = next_edges(by_target, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, knots, places);
      for (int l = 0; l < edges.count; ++l) {
        if (edges.other[l] >= all.sources) return false;
        Weights<Real> const weights(places, l);
        Real const* const table = all.spline.coefficients + places.interval[l] * all.spline.width;
        Real const* const x = all.features + edges.other[l] * all.rows_in * width;
        Real const* const factors = all.factors + edges.edge[l] * all.factor_count;
        Row<Real, n> w{}, none;
        std::int32_t part = -1;
        for (std::int64_t k = 0; k < all.group_count; ++k) {
          TermGroup const group = all.groups[k];
          if (group.part != part) {
            part = group.part;
            filter<false>(tile, weights, table + part * width, all.spline.width, w, none);
          }
          Row<Real, n> message{};
          message.add(w, read(tile, x + group.in * width));
          for (auto t = group.begin; t < group.end; ++t) {
            GroupedTerm const term = all.terms[t];
            out[term.out].add(message, term.factor < 0 ? Real(1) : factors[term.factor]);
          }
        }
      }
    }
    for (std::int64_t row = 0; row < all.rows_out; ++row)
      write(tile, out[row], sums + (target * all.rows_out + row) * width);
  }
  return true;
}

template <class Real, int n>
void add_gradients(Convolution<Real> const& all, EdgeList const& by_target, Real const* gradient,
                   Tile<Real, n> const& tile, Row<Real, n>* of_target, Lanes<Real>* by_factor,
                   ConvolutionGradients<Real> const& results) {
  auto const width = all.width;
  Knots const knots(all.spline.cutoff, all.spline.intervals);
  Places<Real> places;
  Edges edges;
  if (results.features != nullptr)
    for (std::int64_t row = 0; row < all.sources * all.rows_in; ++row)
      write(tile, Row<Real, n>{}, results.features + row * width);
  for (std::int64_t target = 0; target < all.targets; ++target) {
    auto slot = by_target.offsets[target];
    auto const stop = by_target.offsets[target + 1];
    if (slot == stop) continue;
    for (std::int64_t row = 0; row < all.rows_out; ++row)
      of_target[row] = read(tile, gradient + (target * all.rows_out + row) * width);
    while (slot < stop) {
      slot = next_edges(by_target, slot, stop, all.edges, all.distances, edges);
      locate(edges.distance, knots, places);
      for (int l = 0; l < edges.count; ++l) {
        if (edges.other[l] >= all.sources) continue;
        auto const edge = edges.edge[l];
        Weights<Real> const weights(places, l);
        Real const* const table = all.spline.coefficients + places.interval[l] * all.spline.width;
        auto const source = edges.other[l] * all.rows_in;
        Real const* const factors = all.factors + edge * all.factor_count;
        for (std::int64_t f = 0; f < all.factor_count; ++f) by_factor[f] = Lanes<Real>{};
        Row<Real, n> w{}, s{}, to_r{};
        std::int32_t part = -1;
        for (std::int64_t k = 0; k < all.group_count; ++k) {
          TermGroup const group = all.groups[k];
          if (group.part != part) {
            part = group.part;
            filter<true>(tile, weights, table + part * width, all.spline.width, w, s);
          }
          auto const x = read(tile, all.features + (source + group.in) * width);
          Row<Real, n> message{}, sum{};
          message.add(w, x);
          for (auto t = group.begin; t < group.end; ++t) {
            GroupedTerm const term = all.terms[t];
            auto const& g = of_target[term.out];
            sum.add(g, term.factor < 0 ? Real(1) : factors[term.factor]);
            if (term.factor < 0) continue;
            Lanes<Real> total = by_factor[term.factor];
            each<n>([&](auto v) { total += message.of[v] * g.of[v]; });
            by_factor[term.factor] = total;
          }
          Row<Real, n> product{};
          product.add(x, sum);
          to_r.add(s, product);
          if (results.features != nullptr) {
            Real* const place = results.features + (source + group.in) * width;
            auto to_x = read(tile, static_cast<Real const*>(place));
            to_x.add(w, sum);
            write(tile, to_x, place);
          }
        }
        Lanes<Real> total{};
        each<n>([&](auto v) { total += to_r.of[v]; });
        results.distances[edge] += static_cast<double>(sum_of_lanes<Real>(total));
        if (results.factors == nullptr) continue;
        Real* const to_factors = results.factors + edge * all.factor_count;
        for (std::int64_t f = 0; f < all.factor_count; ++f)
          to_factors[f] += sum_of_lanes<Real>(by_factor[f]);
      }
    }
  }
}

template <class Real>
constexpr std::int64_t kTile = kVectors * lanes<Real>;

template <class Real>
std::int64_t tiles_of(std::int64_t width) {
  return width / kTile<Real> + (width % kTile<Real> + lanes<Real> - 1) / lanes<Real>;
}

/// Calls f with tile number `number`: tiles of several vectors, and then, of what is left, of one.
template <class Real, class F>
TORCHML_INLINE auto with_tile(std::int64_t width, std::int64_t number, F const& f) {
  auto const large = width / kTile<Real>;
  if (number < large) return f(Tile<Real, kVectors>{number * kTile<Real>, lanes<Real>});
  auto const channel = large * kTile<Real> + (number - large) * lanes<Real>;
  auto const left = width - channel;
  return f(Tile<Real, 1>{channel, left < lanes<Real> ? left : lanes<Real>});
}

template <class Real>
std::int64_t scratch_of(Convolution<Real> const& all) {
  return lanes<Real> * (all.rows_out * kVectors + all.factor_count);
}

template <class Real>
bool sums_of(Convolution<Real> const& all, EdgeList const& by_target, std::int64_t begin,
             std::int64_t end, Real* scratch, Real* sums) {
  bool right = true;
  for (std::int64_t k = 0; k < tiles_of<Real>(all.width); ++k)
    with_tile<Real>(all.width, k, [&]<int n>(Tile<Real, n> const& tile) {
      auto* const out = reinterpret_cast<Row<Real, n>*>(scratch);
      right = add_sums(all, by_target, begin, end, tile, out, sums) && right;
    });
  return right;
}

template <class Real>
void gradients_of(Convolution<Real> const& all, EdgeList const& by_target, Real const* gradient,
                  std::int64_t number, Real* scratch, ConvolutionGradients<Real> const& results) {
  auto* const by_factor = reinterpret_cast<Lanes<Real>*>(scratch);
  with_tile<Real>(all.width, number, [&]<int n>(Tile<Real, n> const& tile) {
    auto* const of_target = reinterpret_cast<Row<Real, n>*>(by_factor + all.factor_count);
    add_gradients(all, by_target, gradient, tile, of_target, by_factor, results);
  });
}

}  // namespace

ConvolutionKernel64 const convolution_kernel_f64 = {tiles_of<double>, scratch_of<double>,
                                                    sums_of<double>, gradients_of<double>};
ConvolutionKernel32 const convolution_kernel_f32 = {tiles_of<float>, scratch_of<float>,
                                                    sums_of<float>, gradients_of<float>};

}  // namespace torchml::operators::TORCHML_SIMD
