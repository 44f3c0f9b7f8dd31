#include "xi_kernel.hpp"

#include "simd/harmonics.hpp"
#include "simd/interleave.hpp"
#include "simd/radial.hpp"
#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;
namespace {

// In all arrays below, number i of lane l is at [i * lanes + l].

/// Arrays of one neighbour per lane.
struct Neighbor {
  Neighbor(XiTables const& tables, Scratch& scratch)
      : radial(scratch.doubles(tables.radial.stride * lanes)),
        slopes(scratch.doubles(tables.radial.stride * lanes)),
        harmonics(scratch.doubles(harmonics_of(tables) * lanes)),
        to_harmonics(scratch.doubles(harmonics_of(tables) * lanes)) {}

  static std::size_t harmonics_of(XiTables const& tables) {
    auto const degrees = static_cast<std::size_t>(tables.q) + 1;
    return degrees * degrees;
  }

  double* radial;        ///< [radial.stride]
  double* slopes;        ///< [radial.stride] d/dr
  double* harmonics;     ///< [(q + 1)^2]
  double* to_harmonics;  ///< [(q + 1)^2] derivatives of what is pulled back
};

/// Where neighbours stand, and 1 for those that count: the radial functions end at the cutoff,
/// which may be inside that of the lists.
struct Place {
  Place(XiTables const& tables, Interleaved const& all, std::size_t k)
      : r(load(all.r + k * lanes)),
        inverse(1.0 / r),
        x(load(all.x + k * lanes) * inverse),
        y(load(all.y + k * lanes) * inverse),
        z(load(all.z + k * lanes) * inverse),
        weight(select(r < Vector(tables.cutoff), load(all.present + k * lanes), Vector(0.0))) {}

  Vector r;
  Vector inverse;
  Vector x;
  Vector y;
  Vector z;
  Vector weight;
};

void clear(double* values, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) store(0.0, values + i * lanes);
}

/// c_nlm = sum_j g_nl(r_j) Y_lm(r_j / |r_j|).
void expand(XiTables const& tables, Interleaved const& all, Neighbor& neighbor,
            double* coefficients) {
  clear(coefficients, tables.coefficients);
  for (std::size_t k = 0; k < all.size; ++k) {
    Place const at(tables, all, k);
    radial_functions<false>(tables.radial, at.r, neighbor.radial, nullptr);
    harmonics(tables.q, tables.harmonics, at.x, at.y, at.z, neighbor.harmonics);
    double const* radial = neighbor.radial;
    double const* harmonic = neighbor.harmonics;
    double* c = coefficients;
    for (int l = 0; l <= tables.q; ++l) {
      auto const orders = static_cast<std::size_t>(2 * l + 1);
      for (int n = 0; n <= tables.q - l; ++n, radial += lanes) {
        Vector const g = at.weight * load(radial);
        for (std::size_t m = 0; m < orders; ++m, c += lanes)
          store(load(c) + g * load(harmonic + m * lanes), c);
      }
      harmonic += orders * lanes;
    }
  }
}

/// The gradient with respect to neighbours from that with respect to their coefficients.
void pull_back_expansion(XiTables const& tables, Interleaved const& all, Neighbor& neighbor,
                         double const* to_coefficients, EnvironmentGradient const* gradients) {
  for (std::size_t k = 0; k < all.size; ++k) {
    Place const at(tables, all, k);
    radial_functions<true>(tables.radial, at.r, neighbor.radial, neighbor.slopes);
    harmonics(tables.q, tables.harmonics, at.x, at.y, at.z, neighbor.harmonics);
    clear(neighbor.to_harmonics, Neighbor::harmonics_of(tables));
    double const* radial = neighbor.radial;
    double const* slope = neighbor.slopes;
    double const* harmonic = neighbor.harmonics;
    double* to_harmonic = neighbor.to_harmonics;
    double const* to_c = to_coefficients;
    Vector to_r = 0.0;
    for (int l = 0; l <= tables.q; ++l) {
      auto const orders = static_cast<std::size_t>(2 * l + 1);
      for (int n = 0; n <= tables.q - l; ++n, radial += lanes, slope += lanes) {
        Vector const g = at.weight * load(radial);
        Vector to_g = 0.0;
        for (std::size_t m = 0; m < orders; ++m, to_c += lanes) {
          Vector const d = load(to_c);
          to_g += d * load(harmonic + m * lanes);
          store(load(to_harmonic + m * lanes) + d * g, to_harmonic + m * lanes);
        }
        to_r += to_g * load(slope);
      }
      harmonic += orders * lanes;
      to_harmonic += orders * lanes;
    }
    to_r *= at.weight;
    auto const across = pull_back_harmonics(tables.q, tables.harmonics, at.x, at.y, at.z,
                                            at.inverse, neighbor.to_harmonics);
    scatter_gradient(all, k, across.x + to_r * at.x, across.y + to_r * at.y, across.z + to_r * at.z,
                     gradients);
  }
}

/// z_m, the coupling of the last two factors of a group.
void couple(XiTables const& tables, XiGroup const& group, double const* coefficients, double* z) {
  double const* const first = coefficients + static_cast<std::size_t>(group.first) * lanes;
  double const* const second = coefficients + static_cast<std::size_t>(group.second) * lanes;
  for (int m = 0; m < group.size; ++m) {
    Vector sum = 0.0;
    for (int t = tables.rows[group.row + m]; t < tables.rows[group.row + m + 1]; ++t) {
      auto const& term = tables.terms[t];
      sum += term.weight * (load(first + static_cast<std::size_t>(term.first) * lanes) *
                            load(second + static_cast<std::size_t>(term.second) * lanes));
    }
    store(sum, z + static_cast<std::size_t>(m) * lanes);
  }
}

/// Writes output i of lane l at invariants[i * lanes + l].
void contract(XiTables const& tables, double const* coefficients, double* z, double* invariants) {
  for (std::size_t g = 0; g < tables.group_count; ++g) {
    auto const& group = tables.groups[g];
    couple(tables, group, coefficients, z);
    for (int i = group.member_begin; i < group.member_end; ++i) {
      auto const& member = tables.members[i];
      double const* const c = coefficients + static_cast<std::size_t>(member.coefficient) * lanes;
      Vector sum = 0.0;
      for (std::size_t m = 0; m < static_cast<std::size_t>(group.size); ++m)
        sum += load(c + m * lanes) * load(z + m * lanes);
      store(sum, invariants + static_cast<std::size_t>(member.output) * lanes);
    }
  }
}

/// Adds to the gradient with respect to the coefficients.
void pull_back_contraction(XiTables const& tables, double const* coefficients,
                           double const* to_invariants, double* z, double* to_z,
                           double* to_coefficients) {
  for (std::size_t g = 0; g < tables.group_count; ++g) {
    auto const& group = tables.groups[g];
    auto const size = static_cast<std::size_t>(group.size);
    couple(tables, group, coefficients, z);
    clear(to_z, size);
    for (int i = group.member_begin; i < group.member_end; ++i) {
      auto const& member = tables.members[i];
      auto const begin = static_cast<std::size_t>(member.coefficient) * lanes;
      Vector const d = load(to_invariants + static_cast<std::size_t>(member.output) * lanes);
      for (std::size_t m = 0; m < size; ++m) {
        double* const to_c = to_coefficients + begin + m * lanes;
        store(load(to_c) + d * load(z + m * lanes), to_c);
        double* const to = to_z + m * lanes;
        store(load(to) + d * load(coefficients + begin + m * lanes), to);
      }
    }
    auto const first = static_cast<std::size_t>(group.first) * lanes;
    auto const second = static_cast<std::size_t>(group.second) * lanes;
    for (int m = 0; m < group.size; ++m) {
      Vector const d = load(to_z + static_cast<std::size_t>(m) * lanes);
      for (int t = tables.rows[group.row + m]; t < tables.rows[group.row + m + 1]; ++t) {
        auto const& term = tables.terms[t];
        auto const one = first + static_cast<std::size_t>(term.first) * lanes;
        auto const two = second + static_cast<std::size_t>(term.second) * lanes;
        Vector const weighted = term.weight * d;
        // One after the other: both may be the same number.
        store(load(to_coefficients + one) + weighted * load(coefficients + two),
              to_coefficients + one);
        store(load(to_coefficients + two) + weighted * load(coefficients + one),
              to_coefficients + two);
      }
    }
  }
}

void values(XiTables const& tables, Environment const* centers, std::size_t count, Scratch& scratch,
            double* values) {
  Neighbor neighbor(tables, scratch);
  double* const coefficients = scratch.doubles(tables.coefficients * lanes);
  double* const z = scratch.doubles(static_cast<std::size_t>(2 * tables.q + 1) * lanes);
  double* const invariants = scratch.doubles(tables.width * lanes);
  for (std::size_t begin = 0; begin < count; begin += lanes) {
    auto const used = count - begin < lanes ? count - begin : lanes;
    auto const all = interleave(centers + begin, used, -1, scratch);
    expand(tables, all, neighbor, coefficients);
    contract(tables, coefficients, z, invariants);
    for (std::size_t lane = 0; lane < used; ++lane)
      for (std::size_t d = 0; d < tables.width; ++d)
        values[(begin + lane) * tables.width + d] = invariants[d * lanes + lane];
  }
}

void gradient(XiTables const& tables, Environment const* centers, std::size_t count,
              Scratch& scratch, double const* cotangent, EnvironmentGradient const* gradients) {
  Neighbor neighbor(tables, scratch);
  double* const coefficients = scratch.doubles(tables.coefficients * lanes);
  double* const to_coefficients = scratch.doubles(tables.coefficients * lanes);
  double* const z = scratch.doubles(static_cast<std::size_t>(2 * tables.q + 1) * lanes);
  double* const to_z = scratch.doubles(static_cast<std::size_t>(2 * tables.q + 1) * lanes);
  double* const to_invariants = scratch.doubles(tables.width * lanes);
  for (std::size_t begin = 0; begin < count; begin += lanes) {
    auto const used = count - begin < lanes ? count - begin : lanes;
    auto const all = interleave(centers + begin, used, -1, scratch);
    expand(tables, all, neighbor, coefficients);
    for (std::size_t lane = 0; lane < lanes; ++lane)
      for (std::size_t d = 0; d < tables.width; ++d)
        to_invariants[d * lanes + lane] =
            lane < used ? cotangent[(begin + lane) * tables.width + d] : 0.0;
    clear(to_coefficients, tables.coefficients);
    pull_back_contraction(tables, coefficients, to_invariants, z, to_z, to_coefficients);
    pull_back_expansion(tables, all, neighbor, to_coefficients, gradients + begin);
  }
}

}  // namespace

extern XiKernel const xi_kernel = {values, gradient};

}  // namespace torchml::descriptor::TORCHML_SIMD
