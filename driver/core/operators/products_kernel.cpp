// Channels are the lanes; some atoms at once share the coefficients that are loaded.
#include "operators/products_kernel.hpp"

#include "operators/lanes.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

/// Numbers of some atoms, one vector each.
template <class Real, int n>
struct Plain {
  using Element = Real;
  static constexpr int atoms = n;
  static constexpr bool dual = false;
  Lanes<Real> of[n];
};

/// The same with derivatives along the direction.
template <class Real, int n>
struct Dual {
  using Element = Real;
  static constexpr int atoms = n;
  static constexpr bool dual = true;
  Plain<Real, n> value;
  Plain<Real, n> slope;
};

template <class Real, int n>
TORCHML_INLINE void set(Plain<Real, n>& a, Lanes<Real> v) {
  each<n>([&](auto k) { a.of[k] = v; });
}
template <class Real, int n>
TORCHML_INLINE void set(Dual<Real, n>& a, Lanes<Real> v) {
  set(a.value, v);
  set(a.slope, Lanes<Real>{});
}

template <class Real, int n>
TORCHML_INLINE void add(Plain<Real, n>& sum, Lanes<Real> v) {
  each<n>([&](auto k) { sum.of[k] += v; });
}
template <class Real, int n>
TORCHML_INLINE void add(Dual<Real, n>& sum, Lanes<Real> v) {
  add(sum.value, v);
}

template <class Real, int n>
TORCHML_INLINE void add(Plain<Real, n>& sum, Plain<Real, n> const& a, Lanes<Real> v) {
  each<n>([&](auto k) { sum.of[k] += a.of[k] * v; });
}
template <class Real, int n>
TORCHML_INLINE void add(Dual<Real, n>& sum, Dual<Real, n> const& a, Lanes<Real> v) {
  add(sum.value, a.value, v);
  add(sum.slope, a.slope, v);
}

template <class Real, int n>
TORCHML_INLINE void add(Plain<Real, n>& sum, Plain<Real, n> const& a, Plain<Real, n> const& b) {
  each<n>([&](auto k) { sum.of[k] += a.of[k] * b.of[k]; });
}
template <class Real, int n>
TORCHML_INLINE void add(Dual<Real, n>& sum, Dual<Real, n> const& a, Dual<Real, n> const& b) {
  add(sum.slope, a.slope, b.value);
  add(sum.slope, a.value, b.slope);
  add(sum.value, a.value, b.value);
}

template <class Real, int n>
TORCHML_INLINE Plain<Real, n> product(Plain<Real, n> const& a, Plain<Real, n> const& b) {
  Plain<Real, n> c;
  each<n>([&](auto k) { c.of[k] = a.of[k] * b.of[k]; });
  return c;
}
template <class Real, int n>
TORCHML_INLINE Dual<Real, n> product(Dual<Real, n> const& a, Dual<Real, n> const& b) {
  Dual<Real, n> c{product(a.value, b.value), product(a.slope, b.value)};
  add(c.slope, a.value, b.slope);
  return c;
}

/// What results are made of: the value, or the derivative along the direction.
template <class Real, int n>
TORCHML_INLINE Plain<Real, n> const& wanted(Plain<Real, n> const& a) {
  return a;
}
template <class Real, int n>
TORCHML_INLINE Plain<Real, n> const& wanted(Dual<Real, n> const& a) {
  return a.slope;
}
template <class Real, int n>
TORCHML_INLINE void add_wanted(Plain<Real, n>& sum, Plain<Real, n> const& a,
                               Plain<Real, n> const& b) {
  add(sum, a, b);
}
template <class Real, int n>
TORCHML_INLINE void add_wanted(Plain<Real, n>& sum, Dual<Real, n> const& a,
                               Dual<Real, n> const& b) {
  add(sum, a.slope, b.value);
  add(sum, a.value, b.slope);
}

template <class Real, int n>
TORCHML_INLINE void add_over_atoms(Lanes<Real>& sum, Plain<Real, n> const& a) {
  each<n>([&](auto k) { sum += a.of[k]; });
}
template <class Real, int n>
TORCHML_INLINE void add_over_atoms(Lanes<Real>& sum, Plain<Real, n> const& a,
                                   Plain<Real, n> const& b) {
  Lanes<Real> total = sum;  // memory would be written after each atom
  each<n>([&](auto k) { total += a.of[k] * b.of[k]; });
  sum = total;
}
template <class Real, int n>
TORCHML_INLINE void add_over_atoms(Lanes<Real>& sum, Dual<Real, n> const& a,
                                   Dual<Real, n> const& b) {
  add_over_atoms(sum, a.slope, b.value);
  add_over_atoms(sum, a.value, b.slope);
}

/// Where a walk through the nodes is.
template <class Number>
struct Walk {
  using Real = typename Number::Element;
  ProductNode const* node;
  std::int32_t const* leaf;
  Lanes<Real> const* coefficient;
  Lanes<Real>* to_coefficient;
  Number const* x;
  Plain<Real, Number::atoms>* to_x;
};

/// Brackets of terms with more than kLargestDegree factors are calls.
template <bool slopes, bool to_coefficients, class Number>
void deeper_sum_of(Walk<Number>& walk, Number const& factor, Number& sum);

/// The sum of a node. `factor` is what it is multiplied with in the result: the gradient times the
/// rows before the brackets around it. With it come all derivatives in the same walk.
template <bool slopes, bool to_coefficients, int depth = 1, class Number>
TORCHML_INLINE Number sum_of(Walk<Number>& walk, Number const& factor) {
  using Real = typename Number::Element;
  ProductNode const node = *walk.node++;
  Number sum;
  set(sum, Lanes<Real>{});
  for (std::int32_t k = 0; k < node.own; ++k) {
    add(sum, *walk.coefficient++);
    if constexpr (to_coefficients) add_over_atoms<Real>(*walk.to_coefficient++, wanted(factor));
  }
  for (std::int32_t k = 0; k < node.leaves; ++k) {
    auto const row = *walk.leaf++;
    auto const coefficient = *walk.coefficient++;
    Number const& x = walk.x[row];
    add(sum, x, coefficient);
    if constexpr (slopes) add(walk.to_x[row], wanted(factor), coefficient);
    if constexpr (to_coefficients) add_over_atoms<Real>(*walk.to_coefficient++, factor, x);
  }
  for (std::int32_t k = 0; k < node.children; ++k) {
    auto const row = walk.node->row;
    Number const& x = walk.x[row];
    Number inner = factor;
    if constexpr (slopes || to_coefficients) inner = product(factor, x);
    Number bracket;
    if constexpr (depth < kLargestDegree)
      bracket = sum_of<slopes, to_coefficients, depth + 1>(walk, inner);
    else
      deeper_sum_of<slopes, to_coefficients>(walk, inner, bracket);
    add(sum, x, bracket);
    if constexpr (slopes) add_wanted(walk.to_x[row], factor, bracket);
  }
  return sum;
}

template <bool slopes, bool to_coefficients, class Number>
[[gnu::noinline]] void deeper_sum_of(Walk<Number>& walk, Number const& factor, Number& sum) {
  sum = sum_of<slopes, to_coefficients, kLargestDegree>(walk, factor);
}

/// [n, rows, channels] from the first channel of a tile on, some atoms at once.
template <class Real>
struct Tile {
  std::int64_t rows;
  std::int64_t channels;
  std::int64_t channel;
  std::int64_t width;
  std::int64_t const* atoms;
  int count;

  [[nodiscard]] std::int64_t place(int atom, std::int64_t row) const {
    return (atoms[atom] * rows + row) * channels + channel;
  }
  template <int n>
  TORCHML_INLINE void read(Real const* all, std::int64_t row, Plain<Real, n>& a) const {
    each<n>(
        [&](auto k) { a.of[k] = k < count ? load(all + place(k, row), width) : Lanes<Real>{}; });
  }
  template <int n>
  TORCHML_INLINE void write(Plain<Real, n> const& a, std::int64_t row, Real* all) const {
    each<n>([&](auto k) {
      if (k < count) store(a.of[k], all + place(k, row), width);
    });
  }
};

template <class Real, int n>
TORCHML_INLINE void read(Products<Real> const& all, Tile<Real> const& tile, std::int64_t row,
                         Plain<Real, n>& x) {
  tile.read(all.x, row, x);
}
template <class Real, int n>
TORCHML_INLINE void read(Products<Real> const& all, Tile<Real> const& tile, std::int64_t row,
                         Dual<Real, n>& x) {
  tile.read(all.x, row, x.value);
  tile.read(all.direction, row, x.slope);
}

template <class Real, int n>
TORCHML_INLINE void read_gradient(Products<Real> const& all, Tile<Real> const& tile,
                                  std::int64_t output, Plain<Real, n>& factor) {
  if (all.gradient == nullptr)
    set(factor, Lanes<Real>{} + Real(1));
  else
    tile.read(all.gradient, output, factor);
}
template <class Real, int n>
TORCHML_INLINE void read_gradient(Products<Real> const& all, Tile<Real> const& tile,
                                  std::int64_t output, Dual<Real, n>& factor) {
  read_gradient(all, tile, output, factor.value);
  set(factor.slope, Lanes<Real>{});
}

template <class Number, bool slopes, bool to_coefficients>
void results_of(Products<typename Number::Element> const& all, ProductShare const& share,
                std::int64_t channel, Lanes<typename Number::Element>* scratch,
                ProductResults<typename Number::Element> const& results) {
  using Real = typename Number::Element;
  constexpr int n = Number::atoms;
  auto const left = all.channels - channel;
  auto const width = left < lanes<Real> ? left : lanes<Real>;
  auto* const coefficients = scratch;
  auto* const sums = coefficients + all.terms;
  auto* const x = reinterpret_cast<Number*>(sums + all.terms);
  auto* const to_x = reinterpret_cast<Plain<Real, n>*>(x + all.rows);
  for (std::int64_t t = 0; t < all.terms; ++t) {
    auto const row = share.element * all.terms + all.order[t];
    coefficients[t] = load(all.coefficients + row * all.channels + channel, width);
    if constexpr (to_coefficients) sums[t] = Lanes<Real>{};
  }
  for (std::int64_t first = 0; first < share.count; first += n) {
    auto const count = static_cast<int>(share.count - first < n ? share.count - first : n);
    auto const* const atoms = share.atoms + first;
    Tile<Real> const of_x{all.rows, all.channels, channel, width, atoms, count};
    Tile<Real> const of_outputs{all.outputs, all.channels, channel, width, atoms, count};
    for (std::int64_t row = 0; row < all.rows; ++row) {
      read(all, of_x, row, x[row]);
      if constexpr (slopes) set(to_x[row], Lanes<Real>{});
    }
    Walk<Number> walk{all.nodes, all.leaves, coefficients, sums, x, to_x};
    for (std::int64_t output = 0; output < all.outputs; ++output) {
      Number factor{};
      if constexpr (slopes || to_coefficients) read_gradient(all, of_outputs, output, factor);
      auto const sum = sum_of<slopes, to_coefficients>(walk, factor);
      if (results.values != nullptr) of_outputs.write(wanted(sum), output, results.values);
    }
    if constexpr (slopes)
      for (std::int64_t row = 0; row < all.rows; ++row) of_x.write(to_x[row], row, results.to_x);
  }
  if constexpr (to_coefficients)
    for (std::int64_t t = 0; t < all.terms; ++t) {
      auto const row = share.number * all.terms + all.order[t];
      store(sums[t], results.to_coefficients + row * all.channels + channel, width);
    }
}

/// Atoms at once: as many as registers hold.
#if defined(__AVX512F__)
constexpr int kAtoms = 4;
constexpr int kDualAtoms = 4;
constexpr int kValueAtoms = 8;
#else
constexpr int kAtoms = 4;
constexpr int kDualAtoms = 2;
constexpr int kValueAtoms = 4;
#endif

template <class Real>
std::int64_t scratch_of(Products<Real> const& all) {
  return lanes<Real> * (2 * all.terms + all.rows * 3 * kValueAtoms);
}

template <class Real>
void run(Products<Real> const& all, ProductShare const& share, std::int64_t channel, Real* scratch,
         ProductResults<Real> const& results) {
  auto* const numbers = reinterpret_cast<Lanes<Real>*>(scratch);
  bool const to_coefficients = results.to_coefficients != nullptr;
  auto const function = all.direction != nullptr
                            ? (to_coefficients ? results_of<Dual<Real, kDualAtoms>, true, true>
                                               : results_of<Dual<Real, kDualAtoms>, true, false>)
                        : results.to_x == nullptr
                            ? (to_coefficients ? results_of<Plain<Real, kAtoms>, false, true>
                                               : results_of<Plain<Real, kValueAtoms>, false, false>)
                            : (to_coefficients ? results_of<Plain<Real, kAtoms>, true, true>
                                               : results_of<Plain<Real, kAtoms>, true, false>);
  function(all, share, channel, numbers, results);
}

}  // namespace

ProductsKernel64 const products_kernel_f64 = {lanes<double>, scratch_of<double>, run<double>};
ProductsKernel32 const products_kernel_f32 = {lanes<float>, scratch_of<float>, run<float>};

}  // namespace torchml::operators::TORCHML_SIMD
