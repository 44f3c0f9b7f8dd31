// Real harmonics of unit vectors, one vector per lane, by recursions: no angles, and so no poles.
//
// Y_lm = Q_lm(z) C_m(x, y) and Y_l,-m = Q_lm(z) S_m(x, y), with C_m + i S_m = (x + i y)^m and Q_lm
// proportional to the m-th derivative of the Legendre polynomial P_l, so that sum_m Y_lm^2 = 1.
// Hence
//   Q_lm = a_lm z Q_{l-1,m} - b_lm Q_{l-2,m},   dQ_lm/dz = c_lm Q_{l,m+1}.
#pragma once

#include "operators/density_kernel.hpp"
#include "operators/lanes.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

/// Edges at once, one per lane: no more than 8, since atoms have tens of them.
template <class Real>
constexpr int kEdges = lanes<Real> < 8 ? lanes<Real> : 8;

template <class Real>
struct EdgeLanesOf;
template <>
struct EdgeLanesOf<double> {
  using type [[gnu::vector_size(kEdges<double> * sizeof(double))]] = double;
};
template <>
struct EdgeLanesOf<float> {
  using type [[gnu::vector_size(kEdges<float> * sizeof(float))]] = float;
};
template <class Real>
using EdgeLanes = typename EdgeLanesOf<Real>::type;

/// Lanes anywhere in memory.
template <class Real>
struct [[gnu::packed, gnu::may_alias]] Anywhere {
  EdgeLanes<Real> v;
};
template <class Real>
TORCHML_INLINE Anywhere<Real>& lanes_at(Real* p) {
  return *reinterpret_cast<Anywhere<Real>*>(p);
}
template <class Real>
TORCHML_INLINE Anywhere<Real> const& lanes_at(Real const* p) {
  return *reinterpret_cast<Anywhere<Real> const*>(p);
}

constexpr int kDegrees = kMaxDegree + 1;

constexpr double square_root(double x) {
  double root = x < 1.0 ? 1.0 : x;
  for (int k = 0; k < 64; ++k) root = 0.5 * (root + x / root);
  return root;
}

/// sqrt((2 - delta_m0) (l - m)! / (l + m)!)
constexpr double norm(int l, int m) {
  double ratio = m == 0 ? 1.0 : 2.0;
  for (int k = l - m + 1; k <= l + m; ++k) ratio /= k;
  return square_root(ratio);
}

template <class Real>
struct HarmonicConstants {
  Real first[kDegrees] = {};  ///< Q_mm
  Real a[kDegrees][kDegrees] = {};
  Real b[kDegrees][kDegrees] = {};
  Real c[kDegrees][kDegrees] = {};

  constexpr HarmonicConstants() {
    double odd = 1.0;  // (2m - 1)!!
    for (int m = 0; m < kDegrees; ++m) {
      if (m > 0) odd *= 2 * m - 1;
      first[m] = static_cast<Real>(norm(m, m) * odd);
      for (int l = m; l < kDegrees; ++l) {
        double const n = norm(l, m);
        if (l > m) a[l][m] = static_cast<Real>((2 * l - 1) * n / ((l - m) * norm(l - 1, m)));
        if (l > m + 1) b[l][m] = static_cast<Real>((l + m - 1) * n / ((l - m) * norm(l - 2, m)));
        if (l > m) c[l][m] = static_cast<Real>(n / norm(l, m + 1));
      }
    }
  }
};

/// A vector, or derivatives by one, of each edge.
template <class Real>
struct Cartesian {
  EdgeLanes<Real> x;
  EdgeLanes<Real> y;
  EdgeLanes<Real> z;
};

/// The factors of the harmonics up to lmax of some unit vectors. Rows of lm have kEdges numbers.
template <class Real>
class Harmonics {
 public:
  TORCHML_INLINE Harmonics(int lmax, Cartesian<Real> const& u) : lmax_(lmax) {
    EdgeLanes<Real> const zero = {};
    cosine_[0] = zero + Real(1);
    sine_[0] = zero;
    for (int m = 0; m <= lmax; ++m) {
      if (m > 0) {
        cosine_[m] = u.x * cosine_[m - 1] - u.y * sine_[m - 1];
        sine_[m] = u.x * sine_[m - 1] + u.y * cosine_[m - 1];
      }
      EdgeLanes<Real> before = zero, q = zero + kConstants.first[m];
      q_[m][m] = q;
      for (int l = m + 1; l <= lmax; ++l) {
        EdgeLanes<Real> const next = kConstants.a[l][m] * u.z * q - kConstants.b[l][m] * before;
        before = q;
        q_[l][m] = q = next;
      }
    }
  }

  TORCHML_INLINE void values(Real* y) const {
    for (int l = 0; l <= lmax_; ++l) {
      row(y, l, 0).v = q_[l][0];
      for (int m = 1; m <= l; ++m) {
        row(y, l, m).v = q_[l][m] * cosine_[m];
        row(y, l, -m).v = q_[l][m] * sine_[m];
      }
    }
  }

  /// The derivatives by x, y, z as if these were independent, given those by the harmonics.
  TORCHML_INLINE void pull_back(Real const* by_y, Cartesian<Real>& result) const {
    EdgeLanes<Real> const zero = {};
    result = {zero, zero, zero};
    for (int m = 0; m <= lmax_; ++m) {
      EdgeLanes<Real> by_cosine = zero, by_sine = zero;
      for (int l = m; l <= lmax_; ++l) {
        EdgeLanes<Real> const plus = row(by_y, l, m).v;
        EdgeLanes<Real> const minus = m > 0 ? row(by_y, l, -m).v : zero;
        by_cosine += q_[l][m] * plus;
        by_sine += q_[l][m] * minus;
        if (l > m)
          result.z += kConstants.c[l][m] * q_[l][m + 1] * (plus * cosine_[m] + minus * sine_[m]);
      }
      if (m == 0) continue;
      auto const order = static_cast<Real>(m);
      result.x += order * (by_cosine * cosine_[m - 1] + by_sine * sine_[m - 1]);
      result.y += order * (by_sine * cosine_[m - 1] - by_cosine * sine_[m - 1]);
    }
  }

  /// The derivatives of the harmonics where the vectors move along `direction`.
  TORCHML_INLINE void push_forward(Cartesian<Real> const& direction, Real* y) const {
    EdgeLanes<Real> const zero = {};
    for (int m = 0; m <= lmax_; ++m) {
      EdgeLanes<Real> cosine = zero, sine = zero;
      if (m > 0) {
        auto const order = static_cast<Real>(m);
        cosine = order * (cosine_[m - 1] * direction.x - sine_[m - 1] * direction.y);
        sine = order * (sine_[m - 1] * direction.x + cosine_[m - 1] * direction.y);
      }
      for (int l = m; l <= lmax_; ++l) {
        EdgeLanes<Real> const slope =
            l > m ? kConstants.c[l][m] * q_[l][m + 1] * direction.z : zero;
        row(y, l, m).v = q_[l][m] * cosine + slope * cosine_[m];
        if (m > 0) row(y, l, -m).v = q_[l][m] * sine + slope * sine_[m];
      }
    }
  }

 private:
  static constexpr HarmonicConstants<Real> kConstants{};

  TORCHML_INLINE static Anywhere<Real>& row(Real* y, int l, int m) {
    return lanes_at(y + (l * l + l + m) * kEdges<Real>);
  }
  TORCHML_INLINE static Anywhere<Real> const& row(Real const* y, int l, int m) {
    return lanes_at(y + (l * l + l + m) * kEdges<Real>);
  }

  int lmax_;
  EdgeLanes<Real> cosine_[kDegrees];
  EdgeLanes<Real> sine_[kDegrees];
  EdgeLanes<Real> q_[kDegrees][kDegrees];
};

}  // namespace
}  // namespace torchml::operators::TORCHML_SIMD
