#include "bispectrum_kernel.hpp"

#include "simd/interleave.hpp"
#include "torchml/common/simd/math.hpp"
#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;
namespace {

inline constexpr double pi = 3.1415926535897932;

struct Complex {
  Vector re;
  Vector im;
};

TORCHML_INLINE Complex conj(Complex a) {
  return {a.re, -a.im};
}
TORCHML_INLINE Complex operator-(Complex a) {
  return {-a.re, -a.im};
}
TORCHML_INLINE Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
TORCHML_INLINE Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
TORCHML_INLINE Complex operator*(double a, Complex b) {
  return {a * b.re, a * b.im};
}
/// Re(conj(a) b)
TORCHML_INLINE Vector dot(Complex a, Complex b) {
  return a.re * b.re + a.im * b.im;
}
TORCHML_INLINE Complex load_complex(double const* p) {
  return {load(p), load(p + lanes)};
}
TORCHML_INLINE void store_complex(Complex a, double* p) {
  store(a.re, p);
  store(a.im, p + lanes);
}

// Arrays of complex vectors: element e at [e * stride].
inline constexpr std::size_t stride = 2 * lanes;

// Tiles of couple() and neighbours of for_each_element() whose sums stay in registers.
inline constexpr int widest_tile = 4;
inline constexpr int together = 2;

/// Neighbours side by side with the factors of their species.
struct Neighbors {
  Interleaved at;
  double* inverse_range;  ///< 0 where nothing is present
  double* weight;         ///< 0 where nothing is present
};

TORCHML_INLINE Neighbors gather_neighbors(BispectrumTables const& tables,
                                          Environment const* centers, std::size_t count,
                                          Scratch& scratch) {
  auto const at = interleave(centers, count, -1, scratch);
  std::size_t const slots = at.size * lanes;
  Neighbors const all{at, scratch.doubles(slots), scratch.doubles(slots)};
  for (std::size_t slot = 0; slot < slots; ++slot) {
    all.inverse_range[slot] = all.weight[slot] = 0.0;
    if (at.present[slot] == 0.0) continue;
    auto const& center = centers[slot % lanes];
    auto const species = static_cast<std::size_t>(center.species[at.index[slot]]);
    all.inverse_range[slot] =
        tables.inverse_ranges[static_cast<std::size_t>(center.center_species) * tables.species +
                              species];
    all.weight[slot] = tables.weights[species];
  }
  return all;
}

/// A neighbour on the 3-sphere: with n = (x, y, z)/r, a = cos - i sin n_z, b = sin (n_y - i n_x).
struct Point {
  Vector nx;
  Vector ny;
  Vector nz;
  Vector inverse_r;
  Vector sin;
  Vector cos;
  Vector angle_slope;   ///< 1/Å
  Vector weight;        ///< with the switching function
  Vector weight_slope;  ///< 1/Å

  [[nodiscard]] TORCHML_INLINE Complex a() const { return {cos, -sin * nz}; }
  [[nodiscard]] TORCHML_INLINE Complex b() const { return {sin * ny, -sin * nx}; }
};

TORCHML_INLINE Point locate(BispectrumTables const& tables, Neighbors const& all, std::size_t k) {
  std::size_t const slot = k * lanes;
  Vector const r = load(all.at.r + slot);
  Vector const inverse_range = load(all.inverse_range + slot);
  Point p;
  p.inverse_r = 1.0 / r;
  p.nx = load(all.at.x + slot) * p.inverse_r;
  p.ny = load(all.at.y + slot) * p.inverse_r;
  p.nz = load(all.at.z + slot) * p.inverse_r;
  Vector const fraction = (r - tables.rmin0) * inverse_range;
  p.angle_slope = tables.rfac0_pi * inverse_range;
  auto const [sin, cos] = sincos(tables.rfac0_pi * fraction);
  // The definition divides by |r / sin|: nearer than rmin0 both numbers change sign.
  Mask const beyond_pole = sin < Vector(0.0);
  p.sin = select(beyond_pole, -sin, sin);
  p.cos = select(beyond_pole, -cos, cos);
  p.weight = load(all.weight + slot);
  p.weight_slope = 0.0;
  if (tables.switching) {
    auto const fade = sincos(pi * max(fraction, Vector(0.0)));
    p.weight_slope = p.weight * (-0.5 * pi) * inverse_range * fade.sin;
    p.weight = p.weight * (0.5 + 0.5 * fade.cos);
  }
  return p;
}

/// Coefficients of a polynomial times (first + second t): out[m] = first in[m] + second in[m - 1]
/// for N polynomials of `size` coefficients. May work in place.
template <int N, class Visit>
TORCHML_INLINE void multiply(Complex const* first, Complex const* second, int size,
                             Complex const* in, Complex* out, std::size_t element,
                             Visit const& visit) {
  Complex below[N];
  Complex result[N];
  for (int n = 0; n < N; ++n) {
    below[n] = in[n];
    result[n] = first[n] * below[n];
    out[n] = result[n];
  }
  visit(element, result);
  for (int m = 1; m < size; ++m) {
    for (int n = 0; n < N; ++n) {
      Complex const here = in[m * N + n];
      result[n] = first[n] * here + second[n] * below[n];
      below[n] = here;
      out[m * N + n] = result[n];
    }
    visit(element + static_cast<std::size_t>(m), result);
  }
  for (int n = 0; n < N; ++n) {
    result[n] = second[n] * below[n];
    out[size * N + n] = result[n];
  }
  visit(element + static_cast<std::size_t>(size), result);
}

/// Calls visit(e, u) for each element e of a half, with u[n] the U of point n times `scale`, over
/// the norm of the element. Without norms, column mb of level j holds the coefficients of
///   (conj(a) - conj(b) t)^(j - mb) (b + a t)^mb
/// and the recursion needs no square roots.
template <int N, class Visit>
TORCHML_INLINE void for_each_element(BispectrumTables const& tables, Point const* points,
                                     Vector const* scales, Visit const& visit) {
  Complex a[N], b[N], conj_a[N], minus_conj_b[N];
  Complex column[N * (largest_twojmax + 1)];
  Complex start[N * (largest_twojmax + 1)];
  for (int n = 0; n < N; ++n) {
    a[n] = points[n].a();
    b[n] = points[n].b();
    conj_a[n] = conj(a[n]);
    minus_conj_b[n] = -conj(b[n]);
    column[n] = {scales[n], 0.0};
  }
  visit(0, column);
  for (int mb = 0;; ++mb) {
    for (int j = 2 * mb + 1; j <= tables.twojmax; ++j) {
      auto const element = static_cast<std::size_t>(tables.halves[j] + mb * (j + 1));
      // Level 2 mb + 1 is also where the next column comes from.
      Complex const* const from = j == 2 * mb + 2 ? start : column;
      Complex* const to = j == 2 * mb + 1 ? start : column;
      multiply<N>(conj_a, minus_conj_b, j, from, to, element, visit);
    }
    int const next = 2 * mb + 2;
    if (next > tables.twojmax) return;
    auto const element = static_cast<std::size_t>(tables.halves[next] + (mb + 1) * (next + 1));
    multiply<N>(b, a, next, start, column, element, visit);
  }
}

/// Calls several(k) for neighbours k, k + 1, .. that are worked on together, and single(k) for the
/// rest.
template <class Several, class Single>
TORCHML_INLINE void for_neighbors(std::size_t size, Several const& several, Single const& single) {
  std::size_t k = 0;
  for (; k + together <= size; k += together) several(k);
  for (; k < size; ++k) single(k);
}

TORCHML_INLINE std::size_t full_begin(int j) {
  return static_cast<std::size_t>(j * (j + 1) * (2 * j + 1) / 6);
}

template <int N>
TORCHML_INLINE void add_density(BispectrumTables const& tables, Neighbors const& all, std::size_t k,
                                double* half) {
  Point points[N];
  Vector weights[N];
  for (int n = 0; n < N; ++n) {
    points[n] = locate(tables, all, k + static_cast<std::size_t>(n));
    weights[n] = points[n].weight;
  }
  for_each_element<N>(tables, points, weights, [half](std::size_t element, Complex const* u) {
    double* const at = half + element * stride;
    Complex sum = u[0];
    for (int n = 1; n < N; ++n) sum = sum + u[n];
    store_complex(load_complex(at) + sum, at);
  });
}

/// The whole matrices U^j, level by level, mb outermost: those of the centre and its neighbours.
double* density(BispectrumTables const& tables, Neighbors const& all, Scratch& scratch) {
  auto const elements = static_cast<std::size_t>(tables.halves[tables.twojmax + 1]);
  double* const half = scratch.doubles(elements * stride);
  for (std::size_t i = 0; i < elements * stride; ++i) half[i] = 0.0;
  for_neighbors(
      all.at.size, [&](std::size_t k) { add_density<together>(tables, all, k, half); },
      [&](std::size_t k) { add_density<1>(tables, all, k, half); });

  double* const full = scratch.doubles(full_begin(tables.twojmax + 1) * stride);
  std::size_t element = 0;
  for (int j = 0; j <= tables.twojmax; ++j) {
    double* const level = full + full_begin(j) * stride;
    for (int mb = 0; 2 * mb <= j; ++mb) {
      for (int ma = 0; ma <= j; ++ma, ++element) {
        Complex u = tables.norms[element] * load_complex(half + element * stride);
        if (ma == mb) u.re = u.re + 1.0;
        auto const here = static_cast<std::size_t>(mb * (j + 1) + ma);
        auto const opposite = static_cast<std::size_t>((j - mb) * (j + 1) + j - ma);
        store_complex(u, level + here * stride);
        store_complex((ma + mb) % 2 == 0 ? conj(u) : -conj(u), level + opposite * stride);
      }
    }
  }
  return full;
}

/// Adds the contributions of one ma1 and M consecutive ma2 to a column of Z.
template <int M>
TORCHML_INLINE void couple_tile(double const* inner, std::ptrdiff_t inner_step, double const* u1,
                                std::ptrdiff_t u1_step, double const* u2, std::ptrdiff_t u2_step,
                                int terms, double const* outer, double* z) {
  Complex sums[M];
  for (int m = 0; m < M; ++m) sums[m] = {0.0, 0.0};
  for (int term = 0; term < terms; ++term) {
    Complex const factor = *inner * load_complex(u1);
    for (int m = 0; m < M; ++m) {
      Complex const u = load_complex(u2 + m * static_cast<int>(stride));
      sums[m].re = sums[m].re + factor.re * u.re;
      sums[m].im = sums[m].im + factor.re * u.im;
      sums[m].re = sums[m].re - factor.im * u.im;
      sums[m].im = sums[m].im + factor.im * u.re;
    }
    inner += inner_step;
    u1 += u1_step;
    u2 += u2_step;
  }
  for (int m = 0; m < M; ++m) {
    double* const to = z + m * static_cast<int>(stride);
    store_complex(load_complex(to) + outer[m] * sums[m], to);
  }
}

template <int M, class... Arguments>
TORCHML_INLINE void couple_tile_of(int width, Arguments... arguments) {
  if (width == M) return couple_tile<M>(arguments...);
  if constexpr (M > 1) couple_tile_of<M - 1>(width, arguments...);
}

/// Column mb of Z for ma = 0..last.
TORCHML_INLINE void couple(CoupledMomenta const& c, double const* full, int mb, int last,
                           double* z) {
  constexpr auto step = static_cast<std::ptrdiff_t>(stride);
  double const* const u1 = full + full_begin(c.j1) * stride;
  double const* const u2 = full + full_begin(c.j2) * stride;
  int const shift = (c.j1 + c.j2 - c.j) / 2;  // ma1 + ma2 = ma + shift, and so for mb
  int const b_sum = mb + shift;
  int const b_low = b_sum > c.j2 ? b_sum - c.j2 : 0;
  int const b_high = b_sum < c.j1 ? b_sum : c.j1;
  for (int m = 0; m <= last; ++m) store_complex({0.0, 0.0}, z + m * step);
  for (int ma1 = 0; ma1 <= c.j1; ++ma1) {
    int low = shift > ma1 ? shift - ma1 : 0;
    int high = last + shift - ma1 < c.j2 ? last + shift - ma1 : c.j2;
    if (c.j1 == c.j2 && high > ma1) high = ma1;
    while (low <= high) {
      // Equal tiles, not a wide one and a rest.
      int const left = high - low + 1;
      int const tiles = (left + widest_tile - 1) / widest_tile;
      int const width = (left + tiles - 1) / tiles;
      couple_tile_of<widest_tile>(
          width, c.inner + b_low * c.j2 + b_sum, static_cast<std::ptrdiff_t>(c.j2),
          u1 + (b_low * (c.j1 + 1) + ma1) * step, (c.j1 + 1) * step,
          u2 + ((b_sum - b_low) * (c.j2 + 1) + low) * step, -(c.j2 + 1) * step, b_high - b_low + 1,
          c.outer + ma1 * (c.j2 + 1) + low, z + (ma1 + low - shift) * step);
      low += width;
    }
  }
}

/// How many ma of column mb are needed; the others follow from the symmetry of the matrices.
TORCHML_INLINE int last_needed(int j, int mb) {
  return 2 * mb == j ? mb : j;
}

void values_of_lanes(BispectrumTables const& tables, Environment const* centers, std::size_t count,
                     Scratch& scratch, double* invariants) {
  auto const all = gather_neighbors(tables, centers, count, scratch);
  double const* const full = density(tables, all, scratch);
  alignas(64) double z[(largest_twojmax + 1) * stride];
  for (std::size_t i = 0; i < tables.value_count; ++i) {
    auto const& c = tables.value_couplings[i];
    double const* u = full + full_begin(c.j) * stride;
    Vector sum = 0.0;
    for (int mb = 0; 2 * mb <= c.j; ++mb) {
      int const last = last_needed(c.j, mb);
      couple(c, full, mb, last, z);
      for (int ma = 0; ma <= last; ++ma) {
        Vector const part = dot(load_complex(u + static_cast<std::size_t>(ma) * stride),
                                load_complex(z + static_cast<std::size_t>(ma) * stride));
        sum = sum + (2 * mb == c.j && ma == mb ? 1.0 : 2.0) * part;
      }
      u += static_cast<std::size_t>(c.j + 1) * stride;
    }
    alignas(64) double of_lanes[lanes];
    store(sum, of_lanes);
    for (std::size_t lane = 0; lane < count; ++lane)
      invariants[lane * tables.invariants + c.invariant] = of_lanes[lane];
  }
}

/// Half of the matrices Y with dE = sum Re(conj(dU) Y) over halves, of U without norms.
double* adjoint_density(BispectrumTables const& tables, double const* full,
                        double const* cotangents, std::size_t count, Scratch& scratch) {
  auto const elements = static_cast<std::size_t>(tables.halves[tables.twojmax + 1]);
  double* const half = scratch.doubles(elements * stride);
  for (std::size_t i = 0; i < elements * stride; ++i) half[i] = 0.0;
  alignas(64) double z[(largest_twojmax + 1) * stride];
  alignas(64) double of_lanes[lanes];
  for (std::size_t lane = 0; lane < lanes; ++lane) of_lanes[lane] = 0.0;
  for (std::size_t i = 0; i < tables.gradient_count; ++i) {
    auto const& c = tables.gradient_couplings[i];
    for (std::size_t lane = 0; lane < count; ++lane)
      of_lanes[lane] = cotangents[lane * tables.invariants + c.invariant];
    Vector const cotangent = load(of_lanes);
    double* y = half + static_cast<std::size_t>(tables.halves[c.j]) * stride;
    for (int mb = 0; 2 * mb <= c.j; ++mb) {
      int const last = last_needed(c.j, mb);
      couple(c, full, mb, last, z);
      for (std::size_t ma = 0; ma <= static_cast<std::size_t>(last); ++ma) {
        Complex const term = load_complex(z + ma * stride);
        Complex const sum = load_complex(y + ma * stride);
        store_complex({sum.re + cotangent * term.re, sum.im + cotangent * term.im},
                      y + ma * stride);
      }
      y += static_cast<std::size_t>(c.j + 1) * stride;
    }
  }
  std::size_t element = 0;
  for (int j = 0; j <= tables.twojmax; ++j) {
    for (int mb = 0; 2 * mb <= j; ++mb) {
      bool const middle = 2 * mb == j;
      for (int ma = 0; ma <= j; ++ma, ++element) {
        double* const at = half + element * stride;
        Complex y = load_complex(at);
        if (middle && ma > mb) {
          // The opposite element has been given its norm, which is the same.
          y = conj(load_complex(at - static_cast<std::size_t>(2 * (ma - mb)) * stride));
          if ((ma + mb) % 2 != 0) y = -y;
        } else {
          y = ((middle ? 1.0 : 2.0) * tables.norms[element]) * y;
        }
        store_complex(y, at);
      }
    }
  }
  return half;
}

/// [half][4] Y itself, and what it turns into under the generators of rotations of the 3-sphere:
/// Re(conj(.) u) with the last three is how E changes when the point moves about axis x, y or z.
///
/// (1, t) -> (1, t) E with E = {{i w_z, -w_y - i w_x}, {w_y - i w_x, -i w_z}} changes a polynomial
/// sum u[m] t^m of degree j by the derivatives of its monomials, which moves coefficients by one.
double* turned_adjoint(BispectrumTables const& tables, double const* half, Scratch& scratch) {
  auto const elements = static_cast<std::size_t>(tables.halves[tables.twojmax + 1]);
  double* const turned = scratch.doubles(4 * elements * stride);
  std::size_t element = 0;
  for (int j = 0; j <= tables.twojmax; ++j) {
    for (int mb = 0; 2 * mb <= j; ++mb) {
      for (int ma = 0; ma <= j; ++ma, ++element) {
        double const* const at = half + element * stride;
        Complex const none{0.0, 0.0};
        Complex const y = load_complex(at);
        Complex const above = ma < j ? double(j - ma) * load_complex(at + stride) : none;
        Complex const below = ma > 0 ? double(ma) * load_complex(at - stride) : none;
        Complex const sum = above + below;
        Complex const difference = below + -above;
        Complex const weighted = double(j - 2 * ma) * y;
        double* const to = turned + 4 * element * stride;
        store_complex(y, to);
        store_complex({-sum.im, sum.re}, to + stride);
        store_complex(difference, to + 2 * stride);
        store_complex({weighted.im, -weighted.re}, to + 3 * stride);
      }
    }
  }
  return turned;
}

template <int N>
TORCHML_INLINE void pull_back_neighbors(BispectrumTables const& tables, Neighbors const& all,
                                        std::size_t k, double const* turned,
                                        EnvironmentGradient const* gradients) {
  Point points[N];
  Vector ones[N], energy[N], gx[N], gy[N], gz[N];
  for (int n = 0; n < N; ++n) {
    points[n] = locate(tables, all, k + static_cast<std::size_t>(n));
    ones[n] = 1.0;
    energy[n] = gx[n] = gy[n] = gz[n] = 0.0;
  }
  for_each_element<N>(tables, points, ones, [&](std::size_t element, Complex const* u) {
    double const* const y = turned + 4 * element * stride;
    Complex const itself = load_complex(y);
    Complex const about_x = load_complex(y + stride);
    Complex const about_y = load_complex(y + 2 * stride);
    Complex const about_z = load_complex(y + 3 * stride);
    for (int n = 0; n < N; ++n) {
      energy[n] = energy[n] + dot(itself, u[n]);
      gx[n] = gx[n] + dot(about_x, u[n]);
      gy[n] = gy[n] + dot(about_y, u[n]);
      gz[n] = gz[n] + dot(about_z, u[n]);
    }
  });
  for (int n = 0; n < N; ++n) {
    // The point moves about w = n d(angle) + sin cos dn + sin^2 n x dn, where dn is the part of
    // the displacement across n, over r.
    Point const& p = points[n];
    Vector const sin_cos = p.sin * p.cos * p.inverse_r;
    Vector const sin_sin = p.sin * p.sin * p.inverse_r;
    Vector const radial = gx[n] * p.nx + gy[n] * p.ny + gz[n] * p.nz;
    Vector const along = p.weight_slope * energy[n] + p.weight * (p.angle_slope - sin_cos) * radial;
    Vector const cross_x = gy[n] * p.nz - gz[n] * p.ny;
    Vector const cross_y = gz[n] * p.nx - gx[n] * p.nz;
    Vector const cross_z = gx[n] * p.ny - gy[n] * p.nx;
    scatter_gradient(all.at, k + static_cast<std::size_t>(n),
                     along * p.nx + p.weight * (sin_cos * gx[n] + sin_sin * cross_x),
                     along * p.ny + p.weight * (sin_cos * gy[n] + sin_sin * cross_y),
                     along * p.nz + p.weight * (sin_cos * gz[n] + sin_sin * cross_z), gradients);
  }
}

void gradient_of_lanes(BispectrumTables const& tables, Environment const* centers,
                       std::size_t count, Scratch& scratch, double const* cotangents,
                       EnvironmentGradient const* gradients) {
  auto const all = gather_neighbors(tables, centers, count, scratch);
  double const* const full = density(tables, all, scratch);
  double const* const y = adjoint_density(tables, full, cotangents, count, scratch);
  double const* const turned = turned_adjoint(tables, y, scratch);
  for_neighbors(
      all.at.size,
      [&](std::size_t k) { pull_back_neighbors<together>(tables, all, k, turned, gradients); },
      [&](std::size_t k) { pull_back_neighbors<1>(tables, all, k, turned, gradients); });
}

TORCHML_INLINE std::size_t lanes_used(std::size_t left) {
  return left < lanes ? left : lanes;
}

void values(BispectrumTables const& tables, Environment const* centers, std::size_t count,
            Scratch& scratch, double* invariants) {
  for (std::size_t c = 0; c < count; c += lanes)
    values_of_lanes(tables, centers + c, lanes_used(count - c), scratch,
                    invariants + c * tables.invariants);
}

void gradient(BispectrumTables const& tables, Environment const* centers, std::size_t count,
              Scratch& scratch, double const* cotangents, EnvironmentGradient const* gradients) {
  for (std::size_t c = 0; c < count; c += lanes)
    gradient_of_lanes(tables, centers + c, lanes_used(count - c), scratch,
                      cotangents + c * tables.invariants, gradients + c);
}

}  // namespace

extern BispectrumKernel const bispectrum_kernel = {values, gradient};

}  // namespace torchml::descriptor::TORCHML_SIMD
