// Real spherical harmonics of unit vectors, one vector per lane, by recursions in x, y and z: no
// angles, and so no poles.
//
// With Y_l^m the usual complex ones (orthonormal, Condon-Shortley phase), for m > 0
//   Y_{l,m} = (-1)^m sqrt(2) Re Y_l^m,   Y_{l,-m} = (-1)^m sqrt(2) Im Y_l^m,   Y_{l,0} = Y_l^0,
// so that Y_{1,-1}, Y_{1,0}, Y_{1,1} are y, z, x times sqrt(3/(4 pi)); and the other way round
//   Y_l^m = (-1)^m (Y_{l,m} + i Y_{l,-m})/sqrt(2),   Y_l^{-m} = (Y_{l,m} - i Y_{l,-m})/sqrt(2).
//
// They are Y_{l,m} = Q_lm(z) Re (x + iy)^m and Y_{l,-m} = Q_lm(z) Im (x + iy)^m, where Q_lm is
// proportional to the m-th derivative of the Legendre polynomial P_l. Hence
//   Q_mm = const,   Q_lm = a_lm z Q_{l-1,m} - b_lm Q_{l-2,m},   dQ_{l,m-1}/dz = slope_lm Q_lm.
// The table (harmonics_table.hpp) has for each m the number Q_mm and then, for each l >= m,
// a_lm, b_lm, slope_lm.
#pragma once

#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;

/// Writes Y_lm, l <= l_max, of unit vectors: values[(l*l + l + m) * lanes].
inline void harmonics(int l_max, double const* table, Vector x, Vector y, Vector z,
                      double* values) {
  Vector cosine = 1.0;  // Re and Im of (x + iy)^m
  Vector sine = 0.0;
  for (int m = 0; m <= l_max; ++m) {
    Vector before = 0.0;
    Vector q = *table++;
    double* positive = values + static_cast<std::size_t>(m * m + 2 * m) * lanes;
    double* negative = values + static_cast<std::size_t>(m * m) * lanes;
    for (int l = m; l <= l_max; ++l, table += 3) {
      if (l > m) {
        Vector const next = table[0] * z * q - table[1] * before;
        before = q;
        q = next;
      }
      store(q * cosine, positive);
      if (m > 0) store(q * sine, negative);
      auto const step = static_cast<std::size_t>(2 * l + 2) * lanes;  // to the same m of l + 1
      positive += step;
      negative += step;
    }
    Vector const turned = x * cosine - y * sine;
    sine = x * sine + y * cosine;
    cosine = turned;
  }
}

struct Cartesian {
  Vector x;
  Vector y;
  Vector z;
};

/// With E a function of the Y_lm(v/|v|): dE/dv from cotangent[(l*l + l + m) * lanes] = dE/dY_lm.
/// (x, y, z) = v/|v|.
inline Cartesian pull_back_harmonics(int l_max, double const* table, Vector x, Vector y, Vector z,
                                     Vector inverse_length, double const* cotangent) {
  Cartesian g{0.0, 0.0, 0.0};
  Vector cosine_before = 0.0;  // of m - 1
  Vector sine_before = 0.0;
  Vector cosine = 1.0;
  Vector sine = 0.0;
  for (int m = 0; m <= l_max; ++m) {
    Vector before = 0.0;
    Vector q = *table++;
    double const* positive = cotangent + static_cast<std::size_t>(m * m + 2 * m) * lanes;
    double const* negative = cotangent + static_cast<std::size_t>(m * m) * lanes;
    // dE/d Re (x + iy)^m, dE/d Im (x + iy)^m, and what dE/dz is in terms of the ones of m - 1.
    Vector to_cosine = 0.0;
    Vector to_sine = 0.0;
    Vector z_cosine = 0.0;
    Vector z_sine = 0.0;
    for (int l = m; l <= l_max; ++l, table += 3) {
      if (l > m) {
        Vector const next = table[0] * z * q - table[1] * before;
        before = q;
        q = next;
      }
      if (m > 0) {
        Vector const slope = table[2] * q;
        to_cosine += q * load(positive);
        to_sine += q * load(negative);
        z_cosine += slope * load(positive - lanes);
        z_sine += slope * load(negative + lanes);
      }
      auto const step = static_cast<std::size_t>(2 * l + 2) * lanes;
      positive += step;
      negative += step;
    }
    if (m > 0) {
      double const power = m;  // d (x + iy)^m = m (x + iy)^(m-1) (dx + i dy)
      g.x += power * (to_cosine * cosine_before + to_sine * sine_before);
      g.y += power * (to_sine * cosine_before - to_cosine * sine_before);
      // The harmonic of -0 does not exist: sine_before is 0 where m - 1 is 0.
      g.z += z_cosine * cosine_before + z_sine * sine_before;
    }
    cosine_before = cosine;
    sine_before = sine;
    cosine = x * cosine_before - y * sine_before;
    sine = x * sine_before + y * cosine_before;
  }
  // A longer v is the same direction: only the part across it counts.
  Vector const along = g.x * x + g.y * y + g.z * z;
  return {(g.x - along * x) * inverse_length, (g.y - along * y) * inverse_length,
          (g.z - along * z) * inverse_length};
}

}  // namespace torchml::descriptor::TORCHML_SIMD
