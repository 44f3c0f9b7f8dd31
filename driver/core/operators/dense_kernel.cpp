// Columns are the lanes; sums of some rows and panels at once stay in registers.
#include "operators/dense_kernel.hpp"

#include "operators/lanes.hpp"
#include "torchml/common/simd/math.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

/// Rows of a tile of some panels: as many as registers hold.
#if defined(__AVX512F__)
constexpr int rows_of_tile(int panels) {
  return panels == 4 ? 6 : 8;
}
constexpr int kPanels = 4;
#else
constexpr int rows_of_tile(int panels) {
  return panels == 1 ? 8 : 4;
}
constexpr int kPanels = 2;
#endif

/// The next row, and so on.
template <class Real>
struct Cursor {
  explicit Cursor(Rows<Real> const& rows) : rows(rows), group(rows.data) {}
  TORCHML_INLINE Real* next() {
    if (place == rows.group) {
      place = 0;
      group += rows.group_stride;
    }
    return group + rows.stride * place++;
  }
  Rows<Real> rows;
  Real* group;
  std::int64_t place = 0;
};

/// `n` rows of `p` panels, of which the last may have a tail only.
template <int n, int p, class Real>
TORCHML_INLINE void tile(DenseLayer<Real> const& layer, std::int64_t panel, Cursor<Real const>& in,
                         Real const* times, Cursor<Real>& out) {
  constexpr std::int64_t width = lanes<Real>;
  auto const first = panel * width;
  auto const left = layer.width - first;
  Real const* row[n];
  for (int r = 0; r < n; ++r) row[r] = in.next();
  Lanes<Real> sum[n][p];
  for (int v = 0; v < p; ++v)
    for (int r = 0; r < n; ++r) sum[r][v] = load(layer.start + first + v * width);
  auto const step = layer.inner * width;
  Real const* matrix = layer.panels + panel * step;
  for (std::int64_t i = 0; i < layer.inner; ++i, matrix += width)
    for (int r = 0; r < n; ++r)
      for (int v = 0; v < p; ++v) sum[r][v] += row[r][i] * load(matrix + v * step);
  if (left >= p * width) {
    for (int r = 0; r < n; ++r) {
      auto* const to = out.next() + first;
      for (int v = 0; v < p; ++v) {
        if (times != nullptr) sum[r][v] *= load(times + r * layer.width + first + v * width);
        store(sum[r][v], to + v * width);
      }
    }
  } else {
    for (int r = 0; r < n; ++r) {
      auto* const to = out.next() + first;
      Real numbers[p * width];
      for (int v = 0; v < p; ++v) store(sum[r][v], numbers + v * width);
      auto const* const factors = times == nullptr ? nullptr : times + r * layer.width + first;
      for (std::int64_t k = 0; k < left; ++k)
        to[k] = factors == nullptr ? numbers[k] : numbers[k] * factors[k];
    }
  }
}

template <int n, int p, class Real>
TORCHML_INLINE void tiles(DenseLayer<Real> const& layer, std::int64_t panel, Cursor<Real const>& in,
                          std::int64_t& left, Real const*& times, Cursor<Real>& out) {
  for (; left >= n; left -= n) {
    tile<n, p>(layer, panel, in, times, out);
    if (times != nullptr) times += n * layer.width;
  }
  if constexpr (n > 1) tiles<n / 2, p>(layer, panel, in, left, times, out);
}

/// All rows of the panels that are left, some panels at once.
template <int p, class Real>
TORCHML_INLINE void panels(DenseLayer<Real> const& layer, std::int64_t& panel, std::int64_t end,
                           Rows<Real const> const& in, std::int64_t count, Real const* times,
                           Rows<Real> const& out) {
  for (; end - panel >= p; panel += p) {
    Cursor<Real const> from(in);
    Cursor<Real> to(out);
    auto left = count;
    auto const* factors = times;
    tiles<rows_of_tile(p), p>(layer, panel, from, left, factors, to);
  }
  if constexpr (p > 1) panels<p / 2>(layer, panel, end, in, count, times, out);
}

template <class Real>
void apply(DenseLayer<Real> const& layer, Rows<Real const> const& in, std::int64_t count,
           Real const* times, Rows<Real> const& out) {
  std::int64_t panel = 0;
  auto const end = (layer.width + lanes<Real> - 1) / lanes<Real>;
  panels<kPanels>(layer, panel, end, in, count, times, out);
}

namespace vectors = simd::TORCHML_SIMD;

/// Of a vector of doubles, which may be one number.
template <class Real>
TORCHML_INLINE void silu(Real const* z, Real* values, Real* slopes) {
  using vectors::Vector;
  constexpr auto width = vectors::lanes;
  double numbers[2][width];
  for (std::size_t l = 0; l < width; ++l) numbers[0][l] = z[l];
  Vector const v = vectors::load(numbers[0]);
  Vector const s = 1.0 / (1.0 + vectors::exp(vectors::min(-v, Vector(700.0))));
  vectors::store(v * s, numbers[0]);
  vectors::store(s * (1.0 + v * (1.0 - s)), numbers[1]);
  for (std::size_t l = 0; l < width; ++l) values[l] = static_cast<Real>(numbers[0][l]);
  for (std::size_t l = 0; l < width; ++l) slopes[l] = static_cast<Real>(numbers[1][l]);
}

template <class Real>
void silu(Real const* z, std::int64_t count, Real* values, Real* slopes) {
  constexpr auto width = static_cast<std::int64_t>(vectors::lanes);
  std::int64_t k = 0;
  for (; k + width <= count; k += width) silu(z + k, values + k, slopes + k);
  if (k == count) return;
  Real tail[3][width] = {};
  for (std::int64_t l = 0; l < count - k; ++l) tail[0][l] = z[k + l];
  silu(tail[0], tail[1], tail[2]);
  for (std::int64_t l = 0; l < count - k; ++l) {
    values[k + l] = tail[1][l];
    slopes[k + l] = tail[2][l];
  }
}

template <class Real>
double dot(Real const* a, Real const* b, std::int64_t count) {
  constexpr int width = 16;
  double sums[width] = {};
  std::int64_t k = 0;
  for (; k + width <= count; k += width)
    for (int l = 0; l < width; ++l)
      sums[l] += static_cast<double>(a[k + l]) * static_cast<double>(b[k + l]);
  double sum = 0.0;
  for (; k < count; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  for (double const part : sums) sum += part;
  return sum;
}

}  // namespace

DenseKernel64 const dense_kernel_f64 = {lanes<double>, apply<double>, silu<double>, dot<double>};
DenseKernel32 const dense_kernel_f32 = {lanes<float>, apply<float>, silu<float>, dot<float>};

}  // namespace torchml::operators::TORCHML_SIMD
