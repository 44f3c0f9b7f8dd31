#include "symmetry_functions_kernel.hpp"

#include "torchml/common/simd/math.hpp"
#include "torchml/common/simd/vectors.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;
namespace {

/// Triplets (i, j, k) that are worked on at a time: their arrays stay in the nearest cache, and
/// memory grows with the neighbours, not with their pairs.
constexpr std::size_t capacity = 128;
static_assert(capacity % lanes == 0 && padding % lanes == 0);

/// (pi/2)^2: where u = (pi r/(2 rc))^2 meets the cutoff.
constexpr double end_of_u = 2.4674011002723395;

constexpr std::size_t rounded_up(std::size_t count) {
  return (count + lanes - 1) / lanes * lanes;
}

/// The cutoff function fc = (cos(pi r/rc) + 1)/2 = cos(x)^2 with x = pi r/(2 rc), and
/// fc'/(r fc) = -2 (pi/(2 rc))^2 sin(x)/x/cos(x). Both cos(x) and sin(x)/x are series in u = x^2:
/// no root of r^2 is needed.
struct Fade {
  Vector cosine;  ///< cos(x), positive
  Vector sinc;    ///< sin(x)/x
};

TORCHML_INLINE Fade fade(Vector u) {
  // For 0 <= x <= pi/2 the first terms left out are below 1e-18.
  return {max(cos_series<12>(u), Vector(1e-18)), sinc_series<11>(u)};
}

/// v^n for n > 0.
TORCHML_INLINE Vector power(Vector v, int n) {
  Vector result = v;
  bool started = false;
  for (;; v = v * v) {
    if (n & 1) {
      result = started ? result * v : v;
      started = true;
    }
    n >>= 1;
    if (n == 0) return result;
  }
}

/// The neighbours of a centre. Arrays hold `lanes` entries more than neighbours, rounded up, and
/// zeros there.
struct Neighbors {
  std::size_t size;
  double *x, *y, *z;  ///< Å
  double* inverse;    ///< 1/r
  double* fc;
  double* slope;       ///< fc'/(r fc), 1/Å^2
  double* stretch;     ///< [species] rows over neighbours, (pi/(2 rc_jk))^2
  std::size_t stride;  ///< of the rows
  int const* species;  ///< of the environment
  bool uniform;        ///< one row for all species
};

/// Sums over triplets for each neighbour; as many entries as in Neighbors.
struct NeighborSums {
  double *x, *y, *z;  ///< of L_d times the other neighbour's vector
  double* weight;     ///< of L, the weighted sum of terms
  double* own;        ///< of what else multiplies the neighbour's own vector
  double* turn;       ///< of dL/dcos cos
};

/// The neighbours k of one j. As many entries as in Neighbors.
struct Candidates {
  double *dot, *square, *inverse, *factor;  ///< as in Triplets, without fc(r_jk)
  double* u;                                ///< (pi r_jk/(2 rc_jk))^2
  int* k;                                   ///< those near enough to j
};

/// Triplets on their way. All arrays are [capacity].
struct Triplets {
  std::size_t size;
  int *j, *k;
  double* dot;      ///< r_ij . r_ik
  double* square;   ///< r_jk^2
  double* inverse;  ///< 1/(r_ij r_ik)
  double* stretch;  ///< (pi/(2 rc_jk))^2
  double* factor;   ///< 2 fc fc (fc)
  double* cosine;   ///< of the angle at i
  double* squares;  ///< the sum of squares that eta multiplies
  double* slope;    ///< fc'/(r_jk fc) of r_jk
  double* weight;   ///< L, the sum of all terms times their cotangents
  double* own;      ///< see differentiate
  double* other;    ///< L_d
  double* turn;     ///< dL/dcos cos
  double* ratio;    ///< [lambdas] rows: d ln b/dcos
  double* power;    ///< [powers] rows: b^zeta
  double* radial;   ///< [etas] rows: factor times exp(-eta squares)
};

struct Workspace {
  Neighbors neighbors;
  NeighborSums sums;
  Candidates candidates;
  Triplets triplets;
  double* terms;  ///< [lanes] for each of the terms of the larger of g4 and g5
};

std::size_t largest_size(Environment const* centers, std::size_t count) {
  std::size_t size = 0;
  for (std::size_t c = 0; c < count; ++c)
    if (centers[c].size > size) size = centers[c].size;
  return size;
}

std::size_t larger(std::size_t a, std::size_t b) {
  return a < b ? b : a;
}

Workspace make_workspace(SymmetryFunctionTables const& tables, std::size_t size, Scratch& scratch) {
  std::size_t const slots = rounded_up(size) + lanes;
  auto const& [g4, g5] = tables.angular;
  auto const doubles = [&](std::size_t rows, std::size_t length) {
    return scratch.doubles(rows * length);
  };
  Workspace all;
  auto& n = all.neighbors;
  n.stride = slots;
  n.uniform = tables.uniform;
  double** const of_neighbors[] = {&n.x, &n.y, &n.z, &n.inverse, &n.fc, &n.slope};
  for (double** array : of_neighbors) *array = doubles(1, slots);
  n.stretch = doubles(tables.uniform ? 1 : tables.species, slots);
  auto& s = all.sums;
  double** const of_sums[] = {&s.x, &s.y, &s.z, &s.weight, &s.own, &s.turn};
  for (double** array : of_sums) *array = doubles(1, slots);
  auto& f = all.candidates;
  double** const of_candidates[] = {&f.dot, &f.square, &f.inverse, &f.factor, &f.u};
  for (double** array : of_candidates) *array = doubles(1, slots);
  f.k = scratch.ints(slots);
  auto& t = all.triplets;
  t.j = scratch.ints(capacity);
  t.k = scratch.ints(capacity);
  double** const of_triplets[] = {&t.dot,    &t.square, &t.inverse, &t.stretch,
                                  &t.factor, &t.cosine, &t.slope,   &t.squares,
                                  &t.weight, &t.own,    &t.other,   &t.turn};
  for (double** array : of_triplets) *array = doubles(1, capacity);
  t.ratio = doubles(larger(g4.lambdas, g5.lambdas), capacity);
  t.power = doubles(larger(g4.powers, g5.powers), capacity);
  t.radial = doubles(larger(g4.etas, g5.etas), capacity);
  all.terms = doubles(larger(g4.terms, g5.terms), lanes);
  return all;
}

void load_neighbors(SymmetryFunctionTables const& tables, Environment const& center,
                    Neighbors& to) {
  to.size = center.size;
  to.species = center.species;
  std::size_t const end = rounded_up(center.size);
  auto const row = [&](std::size_t species) { return tables.stretch + species * tables.species; };
  auto const own = row(static_cast<std::size_t>(center.center_species));
  for (std::size_t k = 0; k < end; k += lanes) {
    Vector const r = load(center.r + k);
    Vector const stretch = gather(own, center.species + k);
    auto const [cosine, sinc] = fade(min(stretch * (r * r), Vector(end_of_u)));
    auto const present = lane_numbers() < Vector(static_cast<double>(center.size - k));
    store(load(center.x + k), to.x + k);
    store(load(center.y + k), to.y + k);
    store(load(center.z + k), to.z + k);
    store(1.0 / r, to.inverse + k);
    store(select(present, cosine * cosine, Vector(0.0)), to.fc + k);
    store(-2.0 * stretch * sinc / cosine, to.slope + k);
  }
  double* const arrays[] = {to.x, to.y, to.z, to.inverse, to.fc, to.slope};
  for (double* array : arrays) store(Vector(0.0), array + end);
  for (std::size_t species = 0; species < (to.uniform ? 1 : tables.species); ++species) {
    double* const stretch = to.stretch + species * to.stride;
    for (std::size_t k = 0; k < end; k += lanes)
      store(gather(row(species), center.species + k), stretch + k);
    store(Vector(0.0), stretch + end);
  }
}

// Radial functions.

void add_radial(RadialFunction const* functions, std::size_t count, Environment const& center,
                Neighbors const& neighbors, double* values) {
  using Shape = RadialFunction::Shape;
  for (std::size_t f = 0; f < count; ++f) {
    auto const [shape, parameter, shift, output] = functions[f];
    Vector total = 0.0;
    for (std::size_t k = 0; k < center.size; k += lanes) {
      Vector const r = load(center.r + k);
      Vector const fc = load(neighbors.fc + k);
      if (shape == Shape::one) {
        total += fc;
      } else if (shape == Shape::gaussian) {
        Vector const off = r - shift;
        total += fc * exp(-parameter * (off * off));
      } else {
        total += fc * sincos(parameter * r).cos;
      }
    }
    values[output] = sum(total);
  }
}

/// Adds, for each neighbour, what multiplies its vector: 1/r d/dr of the sum of weighted functions.
void pull_back_radial(RadialFunction const* functions, std::size_t count, Environment const& center,
                      Neighbors const& neighbors, double const* cotangent, double* radial) {
  using Shape = RadialFunction::Shape;
  for (std::size_t k = 0; k < center.size; k += lanes) {
    Vector const r = load(center.r + k);
    Vector value = 0.0;       // sum of weighted shapes
    Vector derivative = 0.0;  // and of their derivatives
    for (std::size_t f = 0; f < count; ++f) {
      auto const [shape, parameter, shift, output] = functions[f];
      double const weight = cotangent[output];
      if (shape == Shape::one) {
        value += weight;
      } else if (shape == Shape::gaussian) {
        Vector const off = r - shift;
        Vector const gaussian = weight * exp(-parameter * (off * off));
        value += gaussian;
        derivative -= (2.0 * parameter) * off * gaussian;
      } else {
        auto const [sine, cosine] = sincos(parameter * r);
        value += weight * cosine;
        derivative -= (weight * parameter) * sine;
      }
    }
    Vector const fc = load(neighbors.fc + k);
    Vector const slope = load(neighbors.slope + k);
    Vector const inverse = load(neighbors.inverse + k);
    store(load(radial + k) + fc * (value * slope + derivative * inverse), radial + k);
  }
}

// Angular functions.

/// Calls flush() whenever there are `capacity` triplets, and for the rest.
template <class Flush>
TORCHML_INLINE void for_triplets(bool closed, Neighbors const& all, Candidates const& candidates,
                                 Triplets& to, Flush const& flush) {
  double const limit = closed ? end_of_u : 1.0;
  to.size = 0;
  for (std::size_t j = 0; j + 1 < all.size; ++j) {
    Vector const x = all.x[j];
    Vector const y = all.y[j];
    Vector const z = all.z[j];
    Vector const inverse = all.inverse[j];
    Vector const factor = 2.0 * all.fc[j];
    double const* const stretch =
        all.stretch + (all.uniform ? 0 : static_cast<std::size_t>(all.species[j])) * all.stride;
    for (std::size_t k = j + 1; k < all.size; k += lanes) {
      Vector const xk = load(all.x + k);
      Vector const yk = load(all.y + k);
      Vector const zk = load(all.z + k);
      Vector const dx = xk - x;
      Vector const dy = yk - y;
      Vector const dz = zk - z;
      Vector const square = dx * dx + dy * dy + dz * dz;
      store(x * xk + y * yk + z * zk, candidates.dot + k);
      store(square, candidates.square + k);
      store(inverse * load(all.inverse + k), candidates.inverse + k);
      store(factor * load(all.fc + k), candidates.factor + k);
      store(closed ? load(stretch + k) * square : Vector(0.0), candidates.u + k);
    }
    std::size_t count = 0;
    for (std::size_t k = j + 1; k < all.size; ++k) {  // no branches, which would be guesses
      candidates.k[count] = static_cast<int>(k);
      count += candidates.u[k] < limit;
    }
    for (std::size_t n = 0; n < count; ++n) {
      if (to.size == capacity) {
        flush();
        to.size = 0;
      }
      auto const k = static_cast<std::size_t>(candidates.k[n]);
      to.j[to.size] = static_cast<int>(j);
      to.k[to.size] = static_cast<int>(k);
      to.dot[to.size] = candidates.dot[k];
      to.square[to.size] = candidates.square[k];
      to.inverse[to.size] = candidates.inverse[k];
      to.factor[to.size] = candidates.factor[k];
      to.stretch[to.size] = stretch[k];
      ++to.size;
    }
  }
  if (to.size > 0) flush();
}

/// Angles, exponentials and powers of the triplets, which are filled up to full vectors; and, for
/// the gradient, slope and ratio.
template <bool gradient>
void evaluate(AngularFunctions const& functions, Triplets& t) {
  std::size_t const end = rounded_up(t.size);
  for (std::size_t i = t.size; i < end; ++i) {
    t.j[i] = t.k[i] = 0;
    t.dot[i] = t.square[i] = t.inverse[i] = t.stretch[i] = t.factor[i] = 0.0;
  }
  for (std::size_t i = 0; i < end; i += lanes) {
    Vector const dot = load(t.dot + i);
    Vector const square = load(t.square + i);
    store(dot * load(t.inverse + i), t.cosine + i);
    if (functions.closed) {
      Vector const stretch = load(t.stretch + i);
      auto const [cosine, sinc] = fade(stretch * square);
      store(load(t.factor + i) * (cosine * cosine), t.factor + i);
      if constexpr (gradient) store(-2.0 * stretch * sinc / cosine, t.slope + i);
      store(2.0 * (square + dot), t.squares + i);
    } else {
      store(square + 2.0 * dot, t.squares + i);
    }
  }
  for (std::size_t e = 0; e < functions.etas; ++e) {
    Vector const eta = -functions.eta[e];
    double* const row = t.radial + e * capacity;
    for (std::size_t i = 0; i < end; i += lanes)
      store(load(t.factor + i) * exp(eta * load(t.squares + i)), row + i);
  }
  for (std::size_t l = 0; l < functions.lambdas; ++l) {
    Vector const half = 0.5 * functions.lambda[l];
    double* const ratio = t.ratio + l * capacity;
    for (std::size_t i = 0; i < end; i += lanes) {
      Vector const b = 0.5 + half * load(t.cosine + i);
      auto const positive = b > Vector(0.0);
      Vector const base = select(positive, b, Vector(0.0));
      if constexpr (gradient) store(select(positive, half / b, Vector(0.0)), ratio + i);
      Vector logarithm = 0.0;
      bool logarithm_known = false;
      for (int p = functions.first_power[l]; p < functions.first_power[l + 1]; ++p) {
        auto const [zeta, integer, unused] = functions.power[p];
        double* const row = t.power + static_cast<std::size_t>(p) * capacity;
        if (integer > 0) {
          store(power(base, integer), row + i);
          continue;
        }
        if (!logarithm_known) logarithm = log(select(positive, b, Vector(1.0)));
        logarithm_known = true;
        store(select(positive, exp(zeta * logarithm), Vector(0.0)), row + i);
      }
    }
  }
}

/// Adds products of a row of `radial` with rows of powers to `count` sums.
template <std::size_t count>
TORCHML_INLINE void add_products(AngularTerm const* terms, double const* radial,
                                 double const* powers, std::size_t end, double* sums) {
  Vector totals[count];
  double const* rows[count];
  for (std::size_t n = 0; n < count; ++n) {
    totals[n] = load(sums + n * lanes);
    rows[n] = powers + static_cast<std::size_t>(terms[n].power) * capacity;
  }
  for (std::size_t i = 0; i < end; i += lanes) {
    Vector const factor = load(radial + i);
    for (std::size_t n = 0; n < count; ++n) totals[n] += factor * load(rows[n] + i);
  }
  for (std::size_t n = 0; n < count; ++n) store(totals[n], sums + n * lanes);
}

/// Adds the terms of the triplets to sums[terms * lanes], in the order by eta.
void add_terms(AngularFunctions const& functions, Triplets const& t, double* sums) {
  std::size_t const end = rounded_up(t.size);
  for (std::size_t e = 0; e < functions.etas; ++e) {
    double const* const radial = t.radial + e * capacity;
    auto n = static_cast<std::size_t>(functions.first_of_eta[e]);
    auto const last = static_cast<std::size_t>(functions.first_of_eta[e + 1]);
    for (; n + 4 <= last; n += 4)
      add_products<4>(functions.by_eta + n, radial, t.power, end, sums + n * lanes);
    for (; n < last; ++n)
      add_products<1>(functions.by_eta + n, radial, t.power, end, sums + n * lanes);
  }
}

/// The sum of the terms' cotangents times rows of a list, for some vectors of triplets.
template <std::size_t count>
struct Combined {
  Vector total[count];
};

template <std::size_t count>
TORCHML_INLINE Combined<count> combine(AngularTerm const* terms, int begin, int end,
                                       int AngularTerm::* index, double const* rows,
                                       double const* cotangent) {
  Combined<count> all;
  for (std::size_t n = 0; n < count; ++n) all.total[n] = 0.0;
  for (int term = begin; term < end; ++term) {
    Vector const weight = cotangent[terms[term].output];
    double const* const row = rows + static_cast<std::size_t>(terms[term].*index) * capacity;
    for (std::size_t n = 0; n < count; ++n) all.total[n] += weight * load(row + n * lanes);
  }
  return all;
}

/// Derivatives of the weighted sum of all terms of some vectors of triplets from `i` on.
///
/// With q = r^2 of j and k and d = r_ij . r_ik as variables, a term is
/// fc(q_j) fc(q_k) (fc(q_jk)) exp(-eta s) b(c)^zeta, where q_jk = q_j + q_k - 2 d,
/// s = q_j + q_k (+ q_jk) and c = d/(r_j r_k). Then the gradient for j is 2 L_qj r_ij + L_d r_ik,
/// and 2 L_qj = weight fc'(r_j)/(r_j fc(r_j)) + own - turn c/q_j.
template <std::size_t count>
TORCHML_INLINE void differentiate(AngularFunctions const& functions, Triplets& t, std::size_t i,
                                  double const* cotangent) {
  Vector weight[count];
  Vector fall[count];
  Vector turn[count];
  for (std::size_t n = 0; n < count; ++n) weight[n] = fall[n] = turn[n] = 0.0;
  for (std::size_t e = 0; e < functions.etas; ++e) {
    auto const angles =
        combine<count>(functions.by_eta, functions.first_of_eta[e], functions.first_of_eta[e + 1],
                       &AngularTerm::power, t.power + i, cotangent);
    for (std::size_t n = 0; n < count; ++n) {
      Vector const terms = load(t.radial + e * capacity + i + n * lanes) * angles.total[n];
      weight[n] += terms;
      fall[n] += functions.eta[e] * terms;
    }
  }
  for (std::size_t p = 0; p < functions.powers; ++p) {
    auto const [zeta, integer, lambda] = functions.power[p];
    auto const radial =
        combine<count>(functions.by_power, functions.first_of_power[p],
                       functions.first_of_power[p + 1], &AngularTerm::eta, t.radial + i, cotangent);
    double const* const ratio = t.ratio + static_cast<std::size_t>(lambda) * capacity + i;
    for (std::size_t n = 0; n < count; ++n)
      turn[n] += zeta * load(t.power + p * capacity + i + n * lanes) * load(ratio + n * lanes) *
                 radial.total[n];
  }
  for (std::size_t n = 0; n < count; ++n, i += lanes) {
    Vector own = -2.0 * fall[n];
    Vector other = turn[n] * load(t.inverse + i);
    if (functions.closed) {
      Vector const apart = weight[n] * load(t.slope + i) - 2.0 * fall[n];
      own += apart;
      other -= apart;
    }
    store(weight[n], t.weight + i);
    store(own, t.own + i);
    store(other, t.other + i);
    store(turn[n] * load(t.cosine + i), t.turn + i);
  }
}

/// Adds the triplets' parts of the gradient to the sums of their neighbours.
void pull_back_terms(AngularFunctions const& functions, Triplets& t, Neighbors const& neighbors,
                     double const* cotangent, NeighborSums const& to) {
  std::size_t const end = rounded_up(t.size);
  std::size_t i = 0;
  for (; i + 4 * lanes <= end; i += 4 * lanes) differentiate<4>(functions, t, i, cotangent);
  for (; i < end; i += lanes) differentiate<1>(functions, t, i, cotangent);
  for (i = 0; i < t.size;) {
    int const same = t.j[i];
    auto const j = static_cast<std::size_t>(same);
    double const x = neighbors.x[j];
    double const y = neighbors.y[j];
    double const z = neighbors.z[j];
    double weight = 0.0, own = 0.0, turn = 0.0, gx = 0.0, gy = 0.0, gz = 0.0;
    for (; i < t.size && t.j[i] == same; ++i) {
      auto const k = static_cast<std::size_t>(t.k[i]);
      weight += t.weight[i];
      own += t.own[i];
      turn += t.turn[i];
      to.weight[k] += t.weight[i];
      to.own[k] += t.own[i];
      to.turn[k] += t.turn[i];
      double const other = t.other[i];
      gx += other * neighbors.x[k];
      gy += other * neighbors.y[k];
      gz += other * neighbors.z[k];
      to.x[k] += other * x;
      to.y[k] += other * y;
      to.z[k] += other * z;
    }
    to.weight[j] += weight;
    to.own[j] += own;
    to.turn[j] += turn;
    to.x[j] += gx;
    to.y[j] += gy;
    to.z[j] += gz;
  }
}

void values_of(SymmetryFunctionTables const& tables, Environment const* centers, std::size_t count,
               Scratch& scratch, double* values) {
  auto all = make_workspace(tables, largest_size(centers, count), scratch);
  for (std::size_t c = 0; c < count; ++c) {
    double* const to = values + c * tables.width;
    load_neighbors(tables, centers[c], all.neighbors);
    add_radial(tables.radial, tables.radials, centers[c], all.neighbors, to);
    for (auto const& functions : tables.angular) {
      if (functions.terms == 0) continue;
      for (std::size_t n = 0; n < functions.terms; ++n) store(Vector(0.0), all.terms + n * lanes);
      for_triplets(functions.closed, all.neighbors, all.candidates, all.triplets, [&] {
        evaluate<false>(functions, all.triplets);
        add_terms(functions, all.triplets, all.terms);
      });
      for (std::size_t n = 0; n < functions.terms; ++n)
        to[functions.by_eta[n].output] = sum(load(all.terms + n * lanes));
    }
  }
}

void gradient_of(SymmetryFunctionTables const& tables, Environment const* centers,
                 std::size_t count, Scratch& scratch, double const* cotangents,
                 EnvironmentGradient const* gradients) {
  auto all = make_workspace(tables, largest_size(centers, count), scratch);
  auto const& sums = all.sums;
  for (std::size_t c = 0; c < count; ++c) {
    double const* const cotangent = cotangents + c * tables.width;
    std::size_t const size = centers[c].size;
    load_neighbors(tables, centers[c], all.neighbors);
    double* const arrays[] = {sums.x, sums.y, sums.z, sums.weight, sums.own, sums.turn};
    for (double* array : arrays)
      for (std::size_t k = 0; k < size; k += lanes) store(Vector(0.0), array + k);
    pull_back_radial(tables.radial, tables.radials, centers[c], all.neighbors, cotangent, sums.own);
    for (auto const& functions : tables.angular) {
      if (functions.terms == 0) continue;
      for_triplets(functions.closed, all.neighbors, all.candidates, all.triplets, [&] {
        evaluate<true>(functions, all.triplets);
        pull_back_terms(functions, all.triplets, all.neighbors, cotangent, sums);
      });
    }
    for (std::size_t k = 0; k < size; k += lanes) {
      Vector const inverse = load(all.neighbors.inverse + k);
      Vector const own = load(sums.own + k) +
                         load(sums.weight + k) * load(all.neighbors.slope + k) -
                         load(sums.turn + k) * (inverse * inverse);
      store(own * load(all.neighbors.x + k) + load(sums.x + k), gradients[c].x + k);
      store(own * load(all.neighbors.y + k) + load(sums.y + k), gradients[c].y + k);
      store(own * load(all.neighbors.z + k) + load(sums.z + k), gradients[c].z + k);
    }
  }
}

}  // namespace

extern SymmetryFunctionsKernel const symmetry_functions_kernel = {values_of, gradient_of};

}  // namespace torchml::descriptor::TORCHML_SIMD
