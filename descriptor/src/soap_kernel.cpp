#include "soap_kernel.hpp"

#include "simd/harmonics.hpp"
#include "simd/interleave.hpp"
#include "simd/radial.hpp"
#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;
namespace {

/// Up to `lanes` centres, one per lane, and the coefficients c_nlm of the densities of each species
/// around them. The coefficients of a species are, for each l, an array [n_max, 2 l + 1].
struct Group {
  SoapTables const& tables;
  Environment const* centers;
  std::size_t count;
  double* coefficients;  ///< [species, per_species, lanes]
  double* radial;        ///< [radial.stride, lanes] I_nl of a neighbour
  double* slopes;        ///< [radial.stride, lanes] dI_nl/dr
  double* harmonics;     ///< [(l_max + 1)^2, lanes] Y_lm of a neighbour

  [[nodiscard]] std::size_t functions() const {
    return static_cast<std::size_t>((tables.l_max + 1) * (tables.l_max + 1));
  }
  [[nodiscard]] std::size_t per_species() const {
    return static_cast<std::size_t>(tables.n_max) * functions();
  }
  [[nodiscard]] std::size_t all_species() const {
    return static_cast<std::size_t>(tables.species) * per_species();
  }
};

/// The memory that all groups of a block use one after the other.
Group make_group(SoapTables const& tables, Scratch& scratch) {
  Group group{tables, nullptr, 0, nullptr, nullptr, nullptr, nullptr};
  group.coefficients = scratch.doubles(group.all_species() * lanes);
  group.radial = scratch.doubles(tables.radial.stride * lanes);
  group.slopes = scratch.doubles(tables.radial.stride * lanes);
  group.harmonics = scratch.doubles(group.functions() * lanes);
  return group;
}

void clear(double* numbers, std::size_t vectors) {
  for (std::size_t i = 0; i < vectors; ++i) store(Vector(0.0), numbers + i * lanes);
}

struct Neighbor {
  Vector x;  ///< of the unit vector
  Vector y;
  Vector z;
  Vector r;
  Vector inverse_r;
  Vector present;
};

TORCHML_INLINE Neighbor neighbor(Interleaved const& all, std::size_t k) {
  Vector const r = load(all.r + k * lanes);
  Vector const inverse = 1.0 / r;
  return {load(all.x + k * lanes) * inverse,
          load(all.y + k * lanes) * inverse,
          load(all.z + k * lanes) * inverse,
          r,
          inverse,
          load(all.present + k * lanes)};
}

/// c_nlm += I_nl(r) Y_lm.
void add_density(Group const& group, Neighbor const& at, double* c) {
  auto const& tables = group.tables;
  radial_functions<false>(tables.radial, at.r, group.radial, nullptr);
  harmonics(tables.l_max, tables.harmonics, at.x, at.y, at.z, group.harmonics);
  double const* radial = group.radial;
  double const* y = group.harmonics;
  for (int l = 0; l <= tables.l_max; ++l) {
    int const orders = 2 * l + 1;
    for (int n = 0; n < tables.n_max; ++n) {
      Vector const weight = load(radial) * at.present;
      for (int m = 0; m < orders; ++m) {
        auto const offset = static_cast<std::size_t>(m) * lanes;
        store(load(c + offset) + weight * load(y + offset), c + offset);
      }
      radial += lanes;
      c += static_cast<std::size_t>(orders) * lanes;
    }
    y += static_cast<std::size_t>(orders) * lanes;
  }
}

void densities(Group const& group, Scratch& scratch) {
  clear(group.coefficients, group.all_species());
  double* c = group.coefficients;
  for (int z = 0; z < group.tables.species; ++z, c += group.per_species() * lanes) {
    auto const neighbors = interleave(group.centers, group.count, z, scratch);
    for (std::size_t k = 0; k < neighbors.size; ++k) add_density(group, neighbor(neighbors, k), c);
  }
}

/// Calls work(d, l, a, b) for each component d of the power spectrum, scale_l sum_m a_m b_m, with
/// where the coefficients a and b of the species begin.
template <class Work>
TORCHML_INLINE void for_components(Group const& group, Work const& work) {
  auto const& tables = group.tables;
  std::size_t d = 0;
  for (int za = 0; za < tables.species; ++za) {
    for (int zb = za; zb < tables.species; ++zb) {
      for (int na = 0; na < tables.n_max; ++na) {
        for (int nb = na; nb < tables.n_max; ++nb) {
          auto a = static_cast<std::size_t>(za) * group.per_species();
          auto b = static_cast<std::size_t>(zb) * group.per_species();
          for (int l = 0; l <= tables.l_max; ++l, ++d) {
            auto const orders = static_cast<std::size_t>(2 * l + 1);
            work(d, l, (a + static_cast<std::size_t>(na) * orders) * lanes,
                 (b + static_cast<std::size_t>(nb) * orders) * lanes);
            a += static_cast<std::size_t>(tables.n_max) * orders;
            b += static_cast<std::size_t>(tables.n_max) * orders;
          }
        }
      }
    }
  }
}

void power_spectrum(Group const& group, double* values) {
  double const* const c = group.coefficients;
  for_components(group, [&](std::size_t d, int l, std::size_t a, std::size_t b) {
    Vector product = 0.0;
    for (std::size_t m = 0; m < static_cast<std::size_t>(2 * l + 1) * lanes; m += lanes)
      product += load(c + a + m) * load(c + b + m);
    alignas(64) double of_lane[lanes];
    store(product * group.tables.scale[l], of_lane);
    for (std::size_t lane = 0; lane < group.count; ++lane)
      values[lane * group.tables.width + d] = of_lane[lane];
  });
}

/// Writes to_coefficients, laid out as the coefficients.
void pull_back_spectrum(Group const& group, double const* cotangent, double* to_coefficients) {
  double const* const c = group.coefficients;
  clear(to_coefficients, group.all_species());
  for_components(group, [&](std::size_t d, int l, std::size_t a, std::size_t b) {
    alignas(64) double of_lane[lanes];
    for (std::size_t lane = 0; lane < lanes; ++lane)
      of_lane[lane] = lane < group.count ? cotangent[lane * group.tables.width + d] : 0.0;
    Vector const weight = load(of_lane) * group.tables.scale[l];
    for (std::size_t m = 0; m < static_cast<std::size_t>(2 * l + 1) * lanes; m += lanes) {
      double* const to_a = to_coefficients + a + m;
      store(load(to_a) + weight * load(c + b + m), to_a);
      double* const to_b = to_coefficients + b + m;  // perhaps the same
      store(load(to_b) + weight * load(c + a + m), to_b);
    }
  });
}

/// The derivative with respect to the vector to a neighbour, from those with respect to c_nlm.
Cartesian pull_back_density(Group const& group, Neighbor const& at, double const* to_c,
                            double* to_harmonics) {
  auto const& tables = group.tables;
  radial_functions<true>(tables.radial, at.r, group.radial, group.slopes);
  harmonics(tables.l_max, tables.harmonics, at.x, at.y, at.z, group.harmonics);
  clear(to_harmonics, group.functions());
  double const* radial = group.radial;
  double const* slope = group.slopes;
  double const* y = group.harmonics;
  double* to_y = to_harmonics;
  Vector along = 0.0;
  for (int l = 0; l <= tables.l_max; ++l) {
    int const orders = 2 * l + 1;
    for (int n = 0; n < tables.n_max; ++n) {
      Vector const value = load(radial);
      Vector to_radial = 0.0;
      for (int m = 0; m < orders; ++m) {
        auto const offset = static_cast<std::size_t>(m) * lanes;
        Vector const weight = load(to_c + offset);
        to_radial += weight * load(y + offset);
        store(load(to_y + offset) + weight * value, to_y + offset);
      }
      along += to_radial * load(slope);
      radial += lanes;
      slope += lanes;
      to_c += static_cast<std::size_t>(orders) * lanes;
    }
    y += static_cast<std::size_t>(orders) * lanes;
    to_y += static_cast<std::size_t>(orders) * lanes;
  }
  auto const across = pull_back_harmonics(tables.l_max, tables.harmonics, at.x, at.y, at.z,
                                          at.inverse_r, to_harmonics);
  return {across.x + along * at.x, across.y + along * at.y, across.z + along * at.z};
}

/// Calls work(group, first centre) for the centres of a block, `lanes` at a time.
template <class Work>
TORCHML_INLINE void for_groups(SoapTables const& tables, Environment const* centers,
                               std::size_t count, Scratch& scratch, Work const& work) {
  Group group = make_group(tables, scratch);
  for (std::size_t first = 0; first < count; first += lanes) {
    group.centers = centers + first;
    group.count = count - first < lanes ? count - first : lanes;
    densities(group, scratch);
    work(group, first);
  }
}

void values(SoapTables const& tables, Environment const* centers, std::size_t count,
            Scratch& scratch, double* values) {
  for_groups(tables, centers, count, scratch, [&](Group const& group, std::size_t first) {
    power_spectrum(group, values + first * tables.width);
  });
}

void gradient(SoapTables const& tables, Environment const* centers, std::size_t count,
              Scratch& scratch, double const* cotangent, EnvironmentGradient const* gradients) {
  double* to_coefficients = nullptr;
  double* to_harmonics = nullptr;
  for_groups(tables, centers, count, scratch, [&](Group const& group, std::size_t first) {
    if (first == 0) {
      to_coefficients = scratch.doubles(group.all_species() * lanes);
      to_harmonics = scratch.doubles(group.functions() * lanes);
    }
    pull_back_spectrum(group, cotangent + first * tables.width, to_coefficients);
    double const* to_c = to_coefficients;
    for (int z = 0; z < tables.species; ++z, to_c += group.per_species() * lanes) {
      auto const neighbors = interleave(group.centers, group.count, z, scratch);
      for (std::size_t k = 0; k < neighbors.size; ++k) {
        auto const g = pull_back_density(group, neighbor(neighbors, k), to_c, to_harmonics);
        scatter_gradient(neighbors, k, g.x, g.y, g.z, gradients + first);
      }
    }
  });
}

}  // namespace

extern SoapKernel const soap_kernel = {values, gradient};

}  // namespace torchml::descriptor::TORCHML_SIMD
