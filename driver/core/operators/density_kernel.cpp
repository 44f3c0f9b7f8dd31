// Edges are the lanes of distances, harmonics and derivatives; radial functions are those of sums.
// Edges whose sources are of the same species go together, so that the weights of the species meet
// the sums over edges rather than the edges.
#include "operators/density_kernel.hpp"

#include <utility>

#include "operators/density_harmonics.hpp"
#include "operators/spline_places.hpp"

namespace torchml::operators::TORCHML_SIMD {
namespace {

constexpr int kChunk = 64;  // edges that are sorted by species at once
constexpr int kHarmonics = kDegrees * kDegrees;

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 32 * 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 16 * 32;
#else
constexpr int kRegisterBytes = 16 * 16;
#endif
/// Rows of sums that fit into half of the registers.
template <class Real>
constexpr int kRows = kRegisterBytes / 2 / static_cast<int>(sizeof(Lanes<Real>)) < 16
                          ? kRegisterBytes / 2 / static_cast<int>(sizeof(Lanes<Real>))
                          : 16;

/// f(0), f(1) ... f(n - 1) with constants: what they index stays in registers.
template <int n, int k = 0, class F>
TORCHML_INLINE void each(F const& f) {
  if constexpr (k < n) {
    f(std::integral_constant<int, k>{});
    each<n, k + 1>(f);
  }
}

/// Some edges of a node. Those within the cutoff remain until a group takes them.
struct Chunk {
  double x[kChunk];
  double y[kChunk];
  double z[kChunk];
  double r[kChunk];
  std::int32_t edge[kChunk];
  std::int64_t species[kChunk];
  int remaining[kChunk];
  int left = 0;
};

void take(DensityEdges const& from, std::int64_t first, double cutoff, Chunk& chunk) {
  auto const count = static_cast<int>(from.count - first < kChunk ? from.count - first : kChunk);
  for (int k = 0; k < count; ++k) {
    chunk.edge[k] = from.edges[first + k];
    double const* const v = from.vectors + 3 * std::int64_t(chunk.edge[k]);
    chunk.x[k] = v[0];
    chunk.y[k] = v[1];
    chunk.z[k] = v[2];
    chunk.species[k] = from.species[from.others[first + k]];
  }
#pragma omp simd
  for (int k = 0; k < count; ++k)
    chunk.r[k] =
        __builtin_sqrt(chunk.x[k] * chunk.x[k] + chunk.y[k] * chunk.y[k] + chunk.z[k] * chunk.z[k]);
  chunk.left = 0;
  for (int k = 0; k < count; ++k)
    if (!(chunk.r[k] >= cutoff)) chunk.remaining[chunk.left++] = k;  // a NaN remains
}

/// Those that remain and are of the species of the first of them.
struct Run {
  std::int64_t species;
  int count;
  int edges[kChunk];
};

bool take(Chunk& chunk, Run& run) {
  if (chunk.left == 0) return false;
  run.species = chunk.species[chunk.remaining[0]];
  run.count = 0;
  int others = 0;
  for (int k = 0; k < chunk.left; ++k) {
    int const edge = chunk.remaining[k];
    if (chunk.species[edge] == run.species)
      run.edges[run.count++] = edge;
    else
      chunk.remaining[others++] = edge;
  }
  chunk.left = others;
  return true;
}

/// Up to kEdges edges of a run, one per lane; further lanes repeat the first.
struct Group {
  int count;
  int edges[kEdges];
  double x[kEdges];  ///< of the unit vector
  double y[kEdges];
  double z[kEdges];
  double per_length[kEdges];  ///< 1/r
  double held[kEdges];        ///< r'
  double slope[kEdges];       ///< dr'/dr
  SplinePlaces<kEdges> places;
};

/// Lengths between half the core and the core are held back smoothly, shorter ones entirely.
void hold(double core, double const* r, Group& group) {
  for (int l = 0; l < kEdges; ++l) {
    double const tau = 2.0 * r[l] / core - 1.0;
    double const t = tau < 0.0 ? 0.0 : tau > 1.0 ? 1.0 : tau;
    double const t3 = t * t * t;
    double const within = core - 0.5 * core * (0.5 - t3 * t * (2.5 - 3.0 * t + t * t));
    group.held[l] = r[l] >= core ? r[l] : within;
    group.slope[l] = t3 * (10.0 - 15.0 * t + 6.0 * t * t);
  }
}

template <class Real>
void take(Density<Real> const& density, Chunk const& chunk, Run const& run, int first,
          std::int64_t target_species, Group& group) {
  group.count = run.count - first < kEdges ? run.count - first : kEdges;
  double r[kEdges];
  for (int l = 0; l < kEdges; ++l) {
    int const edge = run.edges[first + (l < group.count ? l : 0)];
    group.edges[l] = edge;
    group.x[l] = chunk.x[edge];
    group.y[l] = chunk.y[edge];
    group.z[l] = chunk.z[edge];
    r[l] = chunk.r[edge];
  }
  for (int l = 0; l < kEdges; ++l) {
    group.per_length[l] = 1.0 / r[l];
    group.x[l] *= group.per_length[l];
    group.y[l] *= group.per_length[l];
    group.z[l] *= group.per_length[l];
  }
  double const core = density.core[target_species * density.species + run.species];
  if (core > 0.0) {
    hold(core, r, group);
  } else {
    for (int l = 0; l < kEdges; ++l) {
      group.held[l] = r[l];
      group.slope[l] = 1.0;
    }
  }
  locate(group.held, density.cutoff, density.intervals, group.places);
}

template <class Real>
TORCHML_INLINE void set(double const* from, Lanes<Real>& to) {
  for (int l = 0; l < kEdges; ++l) to[l] = static_cast<Real>(from[l]);
}

template <class Real>
TORCHML_INLINE Cartesian<Real> unit_vectors(Group const& group) {
  Cartesian<Real> u;
  set<Real>(group.x, u.x);
  set<Real>(group.y, u.y);
  set<Real>(group.z, u.z);
  return u;
}

/// Columns of one edge's functions, filled up to whole vectors.
constexpr std::int64_t padded(std::int64_t radial) {
  return (radial + kEdges - 1) / kEdges * kEdges;
}

/// Splines of one edge, with these weights of the coefficients.
template <class Real>
TORCHML_INLINE void evaluate(Density<Real> const& density, std::int32_t interval,
                             double const (*weights)[kEdges], int lane, Real* values) {
  auto const n = density.radial;
  Real const* c = density.table + interval * n;
  Real b[kOrder];
  for (int j = 0; j < kOrder; ++j) b[j] = static_cast<Real>(weights[j][lane]);
  std::int64_t k = 0;
  for (; k + kEdges <= n; k += kEdges, c += kEdges)
    lanes_at(values + k).v =
        (b[0] * lanes_at(c).v + b[1] * lanes_at(c + n).v + b[2] * lanes_at(c + 2 * n).v) +
        (b[3] * lanes_at(c + 3 * n).v + b[4] * lanes_at(c + 4 * n).v +
         b[5] * lanes_at(c + 5 * n).v);
  for (; k < n; ++k, ++c)
    values[k] = (b[0] * c[0] + b[1] * c[n] + b[2] * c[2 * n]) +
                (b[3] * c[3 * n] + b[4] * c[4 * n] + b[5] * c[5 * n]);
}

/// sums[row] += sum_e harmonics[row][e] * functions[e], for `rows` rows.
template <int rows, class Real>
TORCHML_INLINE void add_rows(int count, Real const* harmonics, Real const* functions,
                             std::int64_t width, Real* sums) {
  for (std::int64_t k = 0; k < width; k += kEdges) {
    Lanes<Real> s[rows];
    each<rows>([&](auto row) { s[row] = lanes_at(sums + row * width + k).v; });
    for (int e = 0; e < count; ++e) {
      Lanes<Real> const g = lanes_at(functions + e * width + k).v;
      each<rows>([&](auto row) { s[row] += harmonics[row * kEdges + e] * g; });
    }
    each<rows>([&](auto row) { lanes_at(sums + row * width + k).v = s[row]; });
  }
}

template <int rows, class Real>
TORCHML_INLINE void add_all(std::int64_t left, int count, Real const* harmonics,
                            Real const* functions, std::int64_t width, Real* sums) {
  for (; left >= rows; left -= rows, harmonics += rows * kEdges, sums += rows * width)
    add_rows<rows>(count, harmonics, functions, width, sums);
  if constexpr (rows > 1)
    if (left > 0) add_all<rows / 2>(left, count, harmonics, functions, width, sums);
}

/// Adds the sums over edges of one species to its channels.
template <class Real>
void add_channels(Density<Real> const& density, std::int64_t species, std::int64_t width,
                  Real const* sums, Real* result) {
  for (std::int64_t c = 0; c < density.channels; ++c) {
    Real const weight = density.weights[species * density.channels + c];
    if (weight == Real(0)) continue;
    for (std::int64_t row = 0; row < density.rows(); ++row) {
      Real const* const from = sums + row * width;
      Real* const to = result + row * density.columns() + c * density.radial;
#pragma omp simd
      for (std::int64_t k = 0; k < density.radial; ++k) to[k] += weight * from[k];
    }
  }
}

/// The gradient by the sums over edges of one species.
template <class Real>
void gather_channels(Density<Real> const& density, std::int64_t species, Real const* gradient,
                     Real* by_sums) {
  auto const size = density.rows() * density.radial;
  for (std::int64_t k = 0; k < size; ++k) by_sums[k] = 0;
  for (std::int64_t c = 0; c < density.channels; ++c) {
    Real const weight = density.weights[species * density.channels + c];
    if (weight == Real(0)) continue;
    for (std::int64_t row = 0; row < density.rows(); ++row) {
      Real const* const from = gradient + row * density.columns() + c * density.radial;
      Real* const to = by_sums + row * density.radial;
#pragma omp simd
      for (std::int64_t k = 0; k < density.radial; ++k) to[k] += weight * from[k];
    }
  }
}

/// Sums over all edges, to which `add(group, sums)` adds those of one group.
template <class Real, class Add>
TORCHML_INLINE void sum_with(Density<Real> const& density, DensityEdges const& edges, Real* scratch,
                             Real* result, Add const& add) {
  auto const width = padded(density.radial);
  for (std::int64_t k = 0; k < density.rows() * density.columns(); ++k) result[k] = 0;
  Real* const sums = scratch;
  Chunk chunk;
  Run run;
  Group group;
  for (std::int64_t first = 0; first < edges.count; first += kChunk) {
    take(edges, first, density.cutoff, chunk);
    while (take(chunk, run)) {
      for (std::int64_t k = 0; k < density.rows() * width; ++k) sums[k] = 0;
      for (int e = 0; e < run.count; e += kEdges) {
        take(density, chunk, run, e, edges.target_species, group);
        add(chunk, group, sums);
      }
      add_channels(density, run.species, width, sums, result);
    }
  }
}

template <class Real>
Real* clean(Density<Real> const& density, Real* functions) {
  for (std::int64_t k = 0; k < kEdges * padded(density.radial); ++k) functions[k] = 0;
  return functions;
}

template <class Real>
void sum_of(Density<Real> const& density, DensityEdges const& edges, Real* scratch, Real* result) {
  auto const width = padded(density.radial);
  Real* const functions = clean(density, scratch + density.rows() * width);
  alignas(64) Real y[kHarmonics * kEdges];
  sum_with(density, edges, scratch, result, [&](Chunk const&, Group const& group, Real* sums) {
    for (int e = 0; e < group.count; ++e)
      evaluate(density, group.places.interval[e], group.places.value, e, functions + e * width);
    Harmonics<Real>(density.lmax, unit_vectors<Real>(group)).values(y);
    add_all<kRows<Real>>(density.rows(), group.count, y, functions, width, sums);
  });
}

template <class Real>
void tangent_of(Density<Real> const& density, DensityEdges const& edges, double const* directions,
                Real* scratch, Real* result) {
  auto const width = padded(density.radial);
  Real* const values = clean(density, scratch + density.rows() * width);
  Real* const slopes = clean(density, values + kEdges * width);
  alignas(64) Real y[kHarmonics * kEdges];
  alignas(64) Real dy[kHarmonics * kEdges];
  sum_with(density, edges, scratch, result, [&](Chunk const& chunk, Group& group, Real* sums) {
    double dx[kEdges], dy_[kEdges], dz[kEdges];
    for (int l = 0; l < kEdges; ++l) {
      double const* const d = directions + 3 * std::int64_t(chunk.edge[group.edges[l]]);
      dx[l] = d[0];
      dy_[l] = d[1];
      dz[l] = d[2];
    }
    for (int l = 0; l < kEdges; ++l) {
      double const along = dx[l] * group.x[l] + dy_[l] * group.y[l] + dz[l] * group.z[l];
      dx[l] = (dx[l] - along * group.x[l]) * group.per_length[l];
      dy_[l] = (dy_[l] - along * group.y[l]) * group.per_length[l];
      dz[l] = (dz[l] - along * group.z[l]) * group.per_length[l];
      for (auto& slope : group.places.slope) slope[l] *= along * group.slope[l];
    }
    for (int e = 0; e < group.count; ++e) {
      auto const interval = group.places.interval[e];
      evaluate(density, interval, group.places.value, e, values + e * width);
      evaluate(density, interval, group.places.slope, e, slopes + e * width);
    }
    Cartesian<Real> direction;
    set<Real>(dx, direction.x);
    set<Real>(dy_, direction.y);
    set<Real>(dz, direction.z);
    Harmonics<Real> const harmonics(density.lmax, unit_vectors<Real>(group));
    harmonics.values(y);
    harmonics.push_forward(direction, dy);
    add_all<kRows<Real>>(density.rows(), group.count, y, slopes, width, sums);
    add_all<kRows<Real>>(density.rows(), group.count, dy, values, width, sums);
  });
}

/// For `rows` rows: by_harmonics[row] = sum_k by_sums[row, k] values[k], and the sum over them of
/// harmonics[row] sum_k by_sums[row, k] slopes[k].
template <int rows, class Real>
TORCHML_INLINE void contract_rows(Real const* by_sums, std::int64_t radial, Real const* values,
                                  Real const* slopes, Real const* harmonics, Real* by_harmonics,
                                  Lanes<Real>& by_length) {
  Lanes<Real> by_y[rows] = {}, by_g[rows] = {};
  for (std::int64_t k = 0; k < radial; ++k) {
    Lanes<Real> const value = lanes_at(values + k * kEdges).v,
                      slope = lanes_at(slopes + k * kEdges).v;
    each<rows>([&](auto row) {
      Real const factor = by_sums[row * radial + k];
      by_y[row] += factor * value;
      by_g[row] += factor * slope;
    });
  }
  each<rows>([&](auto row) {
    lanes_at(by_harmonics + row * kEdges).v = by_y[row];
    by_length += lanes_at(harmonics + row * kEdges).v * by_g[row];
  });
}

template <int rows, class Real>
TORCHML_INLINE void contract_all(std::int64_t left, Real const* by_sums, std::int64_t radial,
                                 Real const* values, Real const* slopes, Real const* harmonics,
                                 Real* by_harmonics, Lanes<Real>& by_length) {
  for (; left >= rows; left -= rows, by_sums += rows * radial, harmonics += rows * kEdges,
                       by_harmonics += rows * kEdges)
    contract_rows<rows>(by_sums, radial, values, slopes, harmonics, by_harmonics, by_length);
  if constexpr (rows > 1)
    if (left > 0)
      contract_all<rows / 2>(left, by_sums, radial, values, slopes, harmonics, by_harmonics,
                             by_length);
}

/// Derivatives by the vectors of a group, given those by the length and by the unit vector.
template <class Real>
TORCHML_INLINE void write_gradients(Chunk const& chunk, Group const& group,
                                    Lanes<Real> const& by_length, Cartesian<Real> const& by_unit,
                                    double* by_vectors) {
  double x[kEdges], y[kEdges], z[kEdges];
  for (int l = 0; l < kEdges; ++l) {
    double const dx = by_unit.x[l], dy = by_unit.y[l], dz = by_unit.z[l];
    double const along = dx * group.x[l] + dy * group.y[l] + dz * group.z[l];
    double const radial = by_length[l] * group.slope[l];
    x[l] = radial * group.x[l] + (dx - along * group.x[l]) * group.per_length[l];
    y[l] = radial * group.y[l] + (dy - along * group.y[l]) * group.per_length[l];
    z[l] = radial * group.z[l] + (dz - along * group.z[l]) * group.per_length[l];
  }
  for (int e = 0; e < group.count; ++e) {
    double* const row = by_vectors + 3 * std::int64_t(chunk.edge[group.edges[e]]);
    row[0] = x[e];
    row[1] = y[e];
    row[2] = z[e];
  }
}

template <class Real>
void gradients_of(Density<Real> const& density, DensityEdges const& edges, Real const* gradient,
                  Real* scratch, double* by_vectors) {
  constexpr int rows = kRows<Real> / 2 > 4 ? 4 : kRows<Real> / 2;
  auto const radial = density.radial;
  auto const width = padded(radial);
  Real* const by_sums = scratch;
  Real* const row = by_sums + density.rows() * radial;
  Real* const values = clean(density, row + width);
  Real* const slopes = clean(density, values + kEdges * width);
  alignas(64) Real y[kHarmonics * kEdges];
  alignas(64) Real by_y[kHarmonics * kEdges];
  Chunk chunk;
  Run run;
  Group group;
  for (std::int64_t k = 0; k < edges.count; ++k)
    for (int axis = 0; axis < 3; ++axis) by_vectors[3 * std::int64_t(edges.edges[k]) + axis] = 0.0;
  for (std::int64_t first = 0; first < edges.count; first += kChunk) {
    take(edges, first, density.cutoff, chunk);
    while (take(chunk, run)) {
      gather_channels(density, run.species, gradient, by_sums);
      for (int begin = 0; begin < run.count; begin += kEdges) {
        take(density, chunk, run, begin, edges.target_species, group);
        for (int e = 0; e < group.count; ++e) {
          auto const interval = group.places.interval[e];
          evaluate(density, interval, group.places.value, e, row);
          for (std::int64_t k = 0; k < radial; ++k) values[k * kEdges + e] = row[k];
          evaluate(density, interval, group.places.slope, e, row);
          for (std::int64_t k = 0; k < radial; ++k) slopes[k * kEdges + e] = row[k];
        }
        Harmonics<Real> const harmonics(density.lmax, unit_vectors<Real>(group));
        harmonics.values(y);
        Lanes<Real> by_length = {};
        contract_all<rows>(density.rows(), by_sums, radial, values, slopes, y, by_y, by_length);
        Cartesian<Real> by_unit;
        harmonics.pull_back(by_y, by_unit);
        write_gradients<Real>(chunk, group, by_length, by_unit, by_vectors);
      }
    }
  }
}

}  // namespace

DensityKernel64 const density_kernel_f64 = {sum_of<double>, gradients_of<double>,
                                            tangent_of<double>};
DensityKernel32 const density_kernel_f32 = {sum_of<float>, gradients_of<float>, tangent_of<float>};

}  // namespace torchml::operators::TORCHML_SIMD
