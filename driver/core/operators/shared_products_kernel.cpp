// Channels are the lanes. Sums of some atoms and outputs at once stay in registers, so that each
// coefficient and each factor that is loaded serves several of them.
#include "operators/shared_products_kernel.hpp"

#include "operators/lanes.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

#if defined(__AVX512F__)
constexpr int kAtoms = 4;
#else
constexpr int kAtoms = 2;
#endif
constexpr int kOutputs = 4;

/// Numbers of some atoms.
template <class Real>
struct Atoms {
  Lanes<Real> of[kAtoms];
};

/// Where a walk through the nodes is.
template <class Real>
struct Walk {
  ProductNode const* node;
  std::int32_t const* leaf;
  Lanes<Real> const* coefficients;
  std::int64_t outputs;
  Atoms<Real> const* x;         ///< [rows]
  Atoms<Real> const* gradient;  ///< [kOutputs]
  Atoms<Real>* to_x;            ///< [rows]
};

/// Adds the monomials of a node to the sums of m outputs. `factor` is the product of the rows
/// before the `depth` brackets around it.
template <int m, int depth, class Real>
TORCHML_INLINE void add_values(Walk<Real>& walk, Atoms<Real> const& factor, Atoms<Real> (&sum)[m]) {
  ProductNode const node = *walk.node++;
  for (std::int32_t k = 0; k < node.own; ++k, walk.coefficients += walk.outputs)
    for (int o = 0; o < m; ++o)
      for (int a = 0; a < kAtoms; ++a)
        sum[o].of[a] += depth == 0 ? walk.coefficients[o] : factor.of[a] * walk.coefficients[o];
  for (std::int32_t k = 0; k < node.leaves; ++k, walk.coefficients += walk.outputs) {
    auto const& x = walk.x[*walk.leaf++];
    for (int a = 0; a < kAtoms; ++a) {
      auto const monomial = depth == 0 ? x.of[a] : factor.of[a] * x.of[a];
      for (int o = 0; o < m; ++o) sum[o].of[a] += monomial * walk.coefficients[o];
    }
  }
  if constexpr (depth + 1 < kLargestDegree) {
    for (std::int32_t k = 0; k < node.children; ++k) {
      auto const& x = walk.x[walk.node->row];
      Atoms<Real> inner;
      for (int a = 0; a < kAtoms; ++a) inner.of[a] = depth == 0 ? x.of[a] : factor.of[a] * x.of[a];
      add_values<m, depth + 1>(walk, inner, sum);
    }
  }
}

/// sum over m outputs of gradient * coefficient.
template <int m, class Real>
TORCHML_INLINE Atoms<Real> next_coefficient(Walk<Real>& walk) {
  Atoms<Real> sum;
  for (int a = 0; a < kAtoms; ++a) sum.of[a] = walk.gradient[0].of[a] * walk.coefficients[0];
  for (int o = 1; o < m; ++o)
    for (int a = 0; a < kAtoms; ++a) sum.of[a] += walk.gradient[o].of[a] * walk.coefficients[o];
  walk.coefficients += walk.outputs;
  return sum;
}

/// The sum of a node, over m outputs times their gradients (of a whole polynomial, nothing). With
/// it come the derivatives in the same walk.
template <int m, int depth, class Real>
TORCHML_INLINE Atoms<Real> add_slopes(Walk<Real>& walk, Atoms<Real> const& factor) {
  ProductNode const node = *walk.node++;
  Atoms<Real> sum{};
  for (std::int32_t k = 0; k < node.own; ++k) {
    auto const coefficient = next_coefficient<m>(walk);
    for (int a = 0; a < kAtoms; ++a) sum.of[a] += coefficient.of[a];
  }
  for (std::int32_t k = 0; k < node.leaves; ++k) {
    auto const row = *walk.leaf++;
    auto const coefficient = next_coefficient<m>(walk);
    auto& to_x = walk.to_x[row];
    for (int a = 0; a < kAtoms; ++a) {
      if (depth > 0) sum.of[a] += walk.x[row].of[a] * coefficient.of[a];
      to_x.of[a] += depth == 0 ? coefficient.of[a] : factor.of[a] * coefficient.of[a];
    }
  }
  if constexpr (depth + 1 < kLargestDegree) {
    for (std::int32_t k = 0; k < node.children; ++k) {
      auto const row = walk.node->row;
      Atoms<Real> inner;
      auto const& x = walk.x[row];
      for (int a = 0; a < kAtoms; ++a) inner.of[a] = depth == 0 ? x.of[a] : factor.of[a] * x.of[a];
      auto const bracket = add_slopes<m, depth + 1>(walk, inner);
      auto& to_x = walk.to_x[row];
      for (int a = 0; a < kAtoms; ++a) {
        if (depth > 0) sum.of[a] += x.of[a] * bracket.of[a];
        to_x.of[a] += depth == 0 ? bracket.of[a] : factor.of[a] * bracket.of[a];
      }
    }
  }
  return sum;
}

/// Calls f with the number of outputs as a constant.
template <class F>
TORCHML_INLINE void with_outputs(std::int64_t count, F const& f) {
  if (count >= kOutputs)
    f(Index<kOutputs>{});
  else if (count == 3)
    f(Index<3>{});
  else if (count == 2)
    f(Index<2>{});
  else
    f(Index<1>{});
}

/// A tile of channels of some atoms.
template <class Real>
struct Tile {
  std::int64_t channels;
  std::int64_t channel;
  std::int64_t width;
  int atoms;

  TORCHML_INLINE Tile(SharedProducts<Real> const& all, std::int64_t channel, std::int64_t left)
      : channels(all.channels),
        channel(channel),
        width(all.channels - channel < lanes<Real> ? all.channels - channel : lanes<Real>),
        atoms(static_cast<int>(left < kAtoms ? left : kAtoms)) {}

  /// `count` rows of all, [atoms, rows, channels].
  TORCHML_INLINE void read(Real const* all, std::int64_t rows, std::int64_t count,
                           Atoms<Real>* to) const {
    for (int a = 0; a < kAtoms; ++a)
      for (std::int64_t r = 0; r < count; ++r)
        to[r].of[a] =
            a < atoms ? load(all + (a * rows + r) * channels + channel, width) : Lanes<Real>{};
  }
  TORCHML_INLINE void write(Lanes<Real> v, Real* all, std::int64_t rows, std::int64_t r,
                            int a) const {
    if (a < atoms) store(v, all + (a * rows + r) * channels + channel, width);
  }
};

template <class Real>
std::int64_t scratch_of(SharedProducts<Real> const& all) {
  return lanes<Real> * kAtoms * (2 * all.rows + kOutputs);
}

template <class Real>
void values(SharedProducts<Real> const& all, Real const* coefficients, Real const* x,
            std::int64_t atoms, Real* scratch, Real* result) {
  auto* const rows = reinterpret_cast<Atoms<Real>*>(scratch);
  auto const* of_tile = reinterpret_cast<Lanes<Real> const*>(coefficients);
  for (std::int64_t channel = 0; channel < all.channels; channel += lanes<Real>) {
    for (std::int64_t first = 0; first < atoms; first += kAtoms) {
      Tile<Real> const tile(all, channel, atoms - first);
      tile.read(x + first * all.rows * all.channels, all.rows, all.rows, rows);
      auto* const of_atoms = result + first * all.outputs * all.channels;
      for (std::int64_t o = 0; o < all.outputs; o += kOutputs)
        with_outputs(all.outputs - o, [&](auto m) {
          Walk<Real> walk{all.nodes, all.leaves, of_tile + o, all.outputs, rows, nullptr, nullptr};
          Atoms<Real> sum[m] = {};
          add_values<m, 0>(walk, Atoms<Real>{}, sum);
          for (int k = 0; k < m; ++k)
            for (int a = 0; a < kAtoms; ++a)
              tile.write(sum[k].of[a], of_atoms, all.outputs, o + k, a);
        });
    }
    of_tile += all.monomials * all.outputs;
  }
}

template <class Real>
void slopes(SharedProducts<Real> const& all, Real const* coefficients, Real const* gradient,
            std::int64_t atoms, Real* scratch, Real* x) {
  auto* const rows = reinterpret_cast<Atoms<Real>*>(scratch);
  auto* const to_x = rows + all.rows;
  auto* const gradients = to_x + all.rows;
  auto const* of_tile = reinterpret_cast<Lanes<Real> const*>(coefficients);
  for (std::int64_t channel = 0; channel < all.channels; channel += lanes<Real>) {
    for (std::int64_t first = 0; first < atoms; first += kAtoms) {
      Tile<Real> const tile(all, channel, atoms - first);
      auto* const of_atoms = x + first * all.rows * all.channels;
      auto const* const g = gradient + first * all.outputs * all.channels;
      tile.read(of_atoms, all.rows, all.rows, rows);
      for (std::int64_t r = 0; r < all.rows; ++r) to_x[r] = Atoms<Real>{};
      for (std::int64_t o = 0; o < all.outputs; o += kOutputs)
        with_outputs(all.outputs - o, [&](auto m) {
          tile.read(g + o * all.channels, all.outputs, m, gradients);
          Walk<Real> walk{all.nodes, all.leaves, of_tile + o, all.outputs, rows, gradients, to_x};
          add_slopes<m, 0>(walk, Atoms<Real>{});
        });
      for (std::int64_t r = 0; r < all.rows; ++r)
        for (int a = 0; a < kAtoms; ++a) tile.write(to_x[r].of[a], of_atoms, all.rows, r, a);
    }
    of_tile += all.monomials * all.outputs;
  }
}

}  // namespace

SharedProductsKernel64 const shared_products_kernel_f64 = {lanes<double>, scratch_of<double>,
                                                           values<double>, slopes<double>};
SharedProductsKernel32 const shared_products_kernel_f32 = {lanes<float>, scratch_of<float>,
                                                           values<float>, slopes<float>};

}  // namespace torchml::operators::TORCHML_SIMD
