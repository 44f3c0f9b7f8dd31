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

constexpr int kRegisters = kVectorBytes == 64 ? 32 : 16;

/// Rows of sums that are kept in half of the registers.
constexpr int kRows = kRegisters / 2;

/// Some edges of a node. Those within the cutoff remain until a run takes them.
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

void read(DensityEdges const& from, std::int64_t first, double cutoff, Chunk& chunk) {
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

/// Those that remain and are of the species of the first of them, filled up with copies of the last
/// to whole vectors.
struct Run {
  std::int64_t species;
  int count;
  double x[kChunk];
  double y[kChunk];
  double z[kChunk];
  double r[kChunk];
  std::int32_t edge[kChunk];
};

bool next_run(Chunk& chunk, Run& run) {
  if (chunk.left == 0) return false;
  run.species = chunk.species[chunk.remaining[0]];
  int count = 0, others = 0, last = 0;
  auto const add = [&](int k) {
    run.x[count] = chunk.x[k];
    run.y[count] = chunk.y[k];
    run.z[count] = chunk.z[k];
    run.r[count] = chunk.r[k];
    run.edge[count++] = chunk.edge[k];
  };
  for (int left = 0; left < chunk.left; ++left) {
    int const k = chunk.remaining[left];
    if (chunk.species[k] == run.species)
      add(last = k);
    else
      chunk.remaining[others++] = k;
  }
  chunk.left = others;
  run.count = count;
  while (count % 8 != 0) add(last);
  return true;
}

/// Up to kEdges edges of a run, one per lane.
template <class Real>
struct Group {
  static constexpr int lanes = kEdges<Real>;
  int count;
  std::int32_t const* edges;
  double x[lanes];  ///< of the unit vector
  double y[lanes];
  double z[lanes];
  double per_length[lanes];  ///< 1/r
  SplinePlaces<lanes> places;
};

/// 10 t^3 - 15 t^4 + 6 t^5: 0 at 0, 1 at 1, and flat at both.
TORCHML_INLINE double step(double t) {
  return t * t * t * (10.0 - t * (15.0 - 6.0 * t));
}

TORCHML_INLINE double clamped(double t) {
  return t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
}

template <int lanes>
TORCHML_INLINE bool any_within(double core, double const* r) {
  bool within = false;
  for (int l = 0; l < lanes; ++l) within |= r[l] < core;
  return within;
}

/// Lengths from the core to nine tenths of it are held back smoothly, shorter ones entirely.
template <int lanes>
void hold(double core, double const* r, double* held) {
  for (int l = 0; l < lanes; ++l) {
    double const t = clamped(10.0 * r[l] / core - 9.0);
    double const t2 = t * t;
    double const within = core - 0.1 * core * (0.5 - t2 * t2 * (2.5 - 3.0 * t + t2));
    held[l] = r[l] < core ? within : r[l];
  }
}

/// Functions of the lengths held back become functions of the lengths, which fade from the core to
/// three quarters of it.
template <int lanes>
void fade(double core, double const* r, SplinePlaces<lanes>& places) {
  for (int l = 0; l < lanes; ++l) {
    double const bend = step(clamped(10.0 * r[l] / core - 9.0));
    double const t = clamped(4.0 * r[l] / core - 3.0);
    double const share = step(t), slope = 120.0 * t * t * (1.0 - t) * (1.0 - t) / core;
    for (int j = 0; j < kOrder; ++j) {
      places.slope[j][l] = share * bend * places.slope[j][l] + slope * places.value[j][l];
      places.value[j][l] *= share;
    }
  }
}

template <class Real>
void fill(Knots const& knots, double core, Run const& run, int first, Group<Real>& group) {
  group.count = run.count - first < kEdges<Real> ? run.count - first : kEdges<Real>;
  group.edges = run.edge + first;
  double const* const r = run.r + first;
#pragma omp simd
  for (int l = 0; l < kEdges<Real>; ++l) {
    double const per_length = 1.0 / r[l];
    group.per_length[l] = per_length;
    group.x[l] = per_length * run.x[first + l];
    group.y[l] = per_length * run.y[first + l];
    group.z[l] = per_length * run.z[first + l];
  }
  if (!any_within<Group<Real>::lanes>(core, r)) {
    locate(r, knots, group.places);
    return;
  }
  double held[Group<Real>::lanes];
  hold<Group<Real>::lanes>(core, r, held);
  locate(held, knots, group.places);
  fade(core, r, group.places);
}

/// All groups of a run are filled before the first is used: they do not wait for each other.
template <class Real>
struct Groups {
  Group<Real> of[kChunk / kEdges<Real>];

  void fill_all(Density<Real> const& density, std::int64_t target_species, Run const& run) {
    double const core = density.core[target_species * density.species + run.species];
    Knots const knots(density.cutoff, density.intervals);
    for (int first = 0; first < run.count; first += kEdges<Real>)
      fill(knots, core, run, first, of[first / kEdges<Real>]);
  }
};

template <class Real>
TORCHML_INLINE void set(double const* from, EdgeLanes<Real>& to) {
  Real row[kEdges<Real>];
#pragma omp simd
  for (int l = 0; l < kEdges<Real>; ++l) row[l] = static_cast<Real>(from[l]);
  to = lanes_at(row).v;
}

template <class Real>
TORCHML_INLINE Cartesian<Real> unit_vectors(Group<Real> const& group) {
  Cartesian<Real> u;
  set<Real>(group.x, u.x);
  set<Real>(group.y, u.y);
  set<Real>(group.z, u.z);
  return u;
}

/// Columns of one edge's functions, filled up to whole vectors.
template <class Real>
constexpr std::int64_t padded(std::int64_t radial) {
  return (radial + kEdges<Real> - 1) / kEdges<Real> * kEdges<Real>;
}

/// Splines of one edge, with these weights of the coefficients.
template <class Real>
TORCHML_INLINE void evaluate(Density<Real> const& density, std::int32_t interval,
                             double const (*weights)[kEdges<Real>], int lane, Real* values) {
  auto const n = density.radial;
  Real const* c = density.table + interval * n;
  Real b[kOrder];
  for (int j = 0; j < kOrder; ++j) b[j] = static_cast<Real>(weights[j][lane]);
  std::int64_t k = 0;
  for (; k + kEdges<Real> <= n; k += kEdges<Real>, c += kEdges<Real>)
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
  for (std::int64_t k = 0; k < width; k += kEdges<Real>) {
    EdgeLanes<Real> s[rows];
    each<rows>([&](auto row) { s[row] = lanes_at(sums + row * width + k).v; });
    for (int e = 0; e < count; ++e) {
      EdgeLanes<Real> const g = lanes_at(functions + e * width + k).v;
      each<rows>([&](auto row) { s[row] += harmonics[row * kEdges<Real> + e] * g; });
    }
    each<rows>([&](auto row) { lanes_at(sums + row * width + k).v = s[row]; });
  }
}

template <int rows, class Real>
TORCHML_INLINE void add_all(std::int64_t left, int count, Real const* harmonics,
                            Real const* functions, std::int64_t width, Real* sums) {
  for (; left >= rows; left -= rows, harmonics += rows * kEdges<Real>, sums += rows * width)
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
  auto const width = padded<Real>(density.radial);
  for (std::int64_t k = 0; k < density.rows() * density.columns(); ++k) result[k] = 0;
  Real* const sums = scratch;
  Chunk chunk;
  Run run;
  Groups<Real> groups;
  for (std::int64_t first = 0; first < edges.count; first += kChunk) {
    read(edges, first, density.cutoff, chunk);
    while (next_run(chunk, run)) {
      for (std::int64_t k = 0; k < density.rows() * width; ++k) sums[k] = 0;
      groups.fill_all(density, edges.target_species, run);
      for (int e = 0; e < run.count; e += kEdges<Real>) add(groups.of[e / kEdges<Real>], sums);
      add_channels(density, run.species, width, sums, result);
    }
  }
}

template <class Real>
Real* clean(Density<Real> const& density, Real* functions) {
  for (std::int64_t k = 0; k < kEdges<Real> * padded<Real>(density.radial); ++k) functions[k] = 0;
  return functions;
}

template <class Real>
void sum_of(Density<Real> const& density, DensityEdges const& edges, Real* scratch, Real* result) {
  auto const width = padded<Real>(density.radial);
  Real* const functions = clean(density, scratch + density.rows() * width);
  alignas(64) Real y[kHarmonics * kEdges<Real>];
  sum_with(density, edges, scratch, result, [&](Group<Real> const& group, Real* sums) {
    for (int e = 0; e < group.count; ++e)
      evaluate(density, group.places.interval[e], group.places.value, e, functions + e * width);
    Harmonics<Real>(density.lmax, unit_vectors<Real>(group)).values(y);
    add_all<kRows>(density.rows(), group.count, y, functions, width, sums);
  });
}

template <class Real>
void tangent_of(Density<Real> const& density, DensityEdges const& edges, double const* directions,
                Real* scratch, Real* result) {
  auto const width = padded<Real>(density.radial);
  Real* const values = clean(density, scratch + density.rows() * width);
  Real* const slopes = clean(density, values + kEdges<Real> * width);
  alignas(64) Real y[kHarmonics * kEdges<Real>];
  alignas(64) Real turned[kHarmonics * kEdges<Real>];
  sum_with(density, edges, scratch, result, [&](Group<Real>& group, Real* sums) {
    double dx[kEdges<Real>], dy[kEdges<Real>], dz[kEdges<Real>], stretch[kEdges<Real>];
    for (int l = 0; l < kEdges<Real>; ++l) {
      double const* const d = directions + 3 * std::int64_t(group.edges[l]);
      dx[l] = d[0];
      dy[l] = d[1];
      dz[l] = d[2];
    }
#pragma omp simd
    for (int l = 0; l < kEdges<Real>; ++l) {
      double const along = dx[l] * group.x[l] + dy[l] * group.y[l] + dz[l] * group.z[l];
      dx[l] = (dx[l] - along * group.x[l]) * group.per_length[l];
      dy[l] = (dy[l] - along * group.y[l]) * group.per_length[l];
      dz[l] = (dz[l] - along * group.z[l]) * group.per_length[l];
      stretch[l] = along;
    }
    for (auto& slopes : group.places.slope) {
#pragma omp simd
      for (int l = 0; l < kEdges<Real>; ++l) slopes[l] *= stretch[l];
    }
    for (int e = 0; e < group.count; ++e) {
      auto const interval = group.places.interval[e];
      evaluate(density, interval, group.places.value, e, values + e * width);
      evaluate(density, interval, group.places.slope, e, slopes + e * width);
    }
    Cartesian<Real> direction;
    set<Real>(dx, direction.x);
    set<Real>(dy, direction.y);
    set<Real>(dz, direction.z);
    Harmonics<Real> const harmonics(density.lmax, unit_vectors<Real>(group));
    harmonics.values(y);
    harmonics.push_forward(direction, turned);
    add_all<kRows>(density.rows(), group.count, y, slopes, width, sums);
    add_all<kRows>(density.rows(), group.count, turned, values, width, sums);
  });
}

/// Exchanges, in each 2 x 2 arrangement of blocks of `size` lanes in two rows, the block at the
/// upper right with the one at the lower left.
template <int size, class Real, int... lane>
TORCHML_INLINE void exchange_blocks(EdgeLanes<Real>& upper, EdgeLanes<Real>& lower,
                                    std::integer_sequence<int, lane...>) {
  constexpr int lanes = sizeof...(lane);
  auto const a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, ((lane & size) ? lanes + (lane ^ size) : lane)...);
  lower = __builtin_shufflevector(a, b, ((lane & size) ? lanes + lane : (lane ^ size))...);
}

template <int size, class Real>
TORCHML_INLINE void exchange_all(EdgeLanes<Real>* rows) {
  if constexpr (size > 0) {
    each<kEdges<Real>>([&](auto row) {
      if constexpr ((row & size) == 0)
        exchange_blocks<size, Real>(rows[row], rows[row + size],
                                    std::make_integer_sequence<int, kEdges<Real>>{});
    });
    exchange_all<size / 2, Real>(rows);
  }
}

/// Edges become lanes: to[k][e] = from[e][k], for `width` functions k.
template <class Real>
TORCHML_INLINE void transpose(Real const* from, std::int64_t width, Real* to) {
  constexpr int lanes = kEdges<Real>;
  for (std::int64_t k = 0; k < width; k += lanes) {
    EdgeLanes<Real> rows[lanes];
    each<lanes>([&](auto row) { rows[row] = lanes_at(from + row * width + k).v; });
    exchange_all<lanes / 2, Real>(rows);
    each<lanes>([&](auto row) { lanes_at(to + (k + row) * lanes).v = rows[row]; });
  }
}

/// For `rows` rows: by_harmonics[row] = sum_k by_sums[row, k] values[k], and the sum over them of
/// harmonics[row] sum_k by_sums[row, k] slopes[k].
template <int rows, class Real>
TORCHML_INLINE void contract_rows(Real const* by_sums, std::int64_t radial, Real const* values,
                                  Real const* slopes, Real const* harmonics, Real* by_harmonics,
                                  EdgeLanes<Real>& by_length) {
  EdgeLanes<Real> by_y[rows] = {}, by_g[rows] = {};
  for (std::int64_t k = 0; k < radial; ++k) {
    EdgeLanes<Real> const value = lanes_at(values + k * kEdges<Real>).v,
                          slope = lanes_at(slopes + k * kEdges<Real>).v;
    each<rows>([&](auto row) {
      Real const factor = by_sums[row * radial + k];
      by_y[row] += factor * value;
      by_g[row] += factor * slope;
    });
  }
  each<rows>([&](auto row) {
    lanes_at(by_harmonics + row * kEdges<Real>).v = by_y[row];
    by_length += lanes_at(harmonics + row * kEdges<Real>).v * by_g[row];
  });
}

template <int rows, class Real>
TORCHML_INLINE void contract_all(std::int64_t left, Real const* by_sums, std::int64_t radial,
                                 Real const* values, Real const* slopes, Real const* harmonics,
                                 Real* by_harmonics, EdgeLanes<Real>& by_length) {
  for (; left >= rows; left -= rows, by_sums += rows * radial, harmonics += rows * kEdges<Real>,
                       by_harmonics += rows * kEdges<Real>)
    contract_rows<rows>(by_sums, radial, values, slopes, harmonics, by_harmonics, by_length);
  if constexpr (rows > 1)
    if (left > 0)
      contract_all<rows / 2>(left, by_sums, radial, values, slopes, harmonics, by_harmonics,
                             by_length);
}

/// Derivatives by the vectors of a group, given those by the length and by the unit vector.
template <class Real>
TORCHML_INLINE void write_gradients(Group<Real> const& group, EdgeLanes<Real> const& by_length,
                                    Cartesian<Real> const& by_unit, double* by_vectors) {
  Real turn_x[kEdges<Real>], turn_y[kEdges<Real>], turn_z[kEdges<Real>], stretch[kEdges<Real>];
  lanes_at(turn_x).v = by_unit.x;
  lanes_at(turn_y).v = by_unit.y;
  lanes_at(turn_z).v = by_unit.z;
  lanes_at(stretch).v = by_length;
  double x[kEdges<Real>], y[kEdges<Real>], z[kEdges<Real>];
#pragma omp simd
  for (int l = 0; l < kEdges<Real>; ++l) {
    double const dx = turn_x[l], dy = turn_y[l], dz = turn_z[l];
    double const along = dx * group.x[l] + dy * group.y[l] + dz * group.z[l];
    double const radial = stretch[l];
    x[l] = radial * group.x[l] + (dx - along * group.x[l]) * group.per_length[l];
    y[l] = radial * group.y[l] + (dy - along * group.y[l]) * group.per_length[l];
    z[l] = radial * group.z[l] + (dz - along * group.z[l]) * group.per_length[l];
  }
  for (int e = 0; e < group.count; ++e) {
    double* const row = by_vectors + 3 * std::int64_t(group.edges[e]);
    row[0] = x[e];
    row[1] = y[e];
    row[2] = z[e];
  }
}

template <class Real>
void gradients_of(Density<Real> const& density, DensityEdges const& edges, Real const* gradient,
                  Real* scratch, double* by_vectors) {
  constexpr int together = kRegisters / 8;  // rows, each with two sums
  auto const radial = density.radial;
  auto const width = padded<Real>(radial);
  Real* const by_sums = scratch;
  auto const block = kEdges<Real> * width;
  Real* const rows = clean(density, by_sums + density.rows() * radial);
  Real* const row_slopes = clean(density, rows + block);
  Real* const values = row_slopes + block;
  Real* const slopes = values + block;
  alignas(64) Real y[kHarmonics * kEdges<Real>];
  alignas(64) Real by_y[kHarmonics * kEdges<Real>];
  Chunk chunk;
  Run run;
  Groups<Real> groups;
  for (std::int64_t k = 0; k < edges.count; ++k)
    for (int axis = 0; axis < 3; ++axis) by_vectors[3 * std::int64_t(edges.edges[k]) + axis] = 0.0;
  for (std::int64_t first = 0; first < edges.count; first += kChunk) {
    read(edges, first, density.cutoff, chunk);
    while (next_run(chunk, run)) {
      gather_channels(density, run.species, gradient, by_sums);
      groups.fill_all(density, edges.target_species, run);
      for (int begin = 0; begin < run.count; begin += kEdges<Real>) {
        auto const& group = groups.of[begin / kEdges<Real>];
        for (int e = 0; e < group.count; ++e) {
          auto const interval = group.places.interval[e];
          evaluate(density, interval, group.places.value, e, rows + e * width);
          evaluate(density, interval, group.places.slope, e, row_slopes + e * width);
        }
        transpose(rows, width, values);
        transpose(row_slopes, width, slopes);
        Harmonics<Real> const harmonics(density.lmax, unit_vectors<Real>(group));
        harmonics.values(y);
        EdgeLanes<Real> by_length = {};
        contract_all<together>(density.rows(), by_sums, radial, values, slopes, y, by_y, by_length);
        Cartesian<Real> by_unit;
        harmonics.pull_back(by_y, by_unit);
        write_gradients<Real>(group, by_length, by_unit, by_vectors);
      }
    }
  }
}

}  // namespace

DensityKernel64 const density_kernel_f64 = {sum_of<double>, gradients_of<double>,
                                            tangent_of<double>};
DensityKernel32 const density_kernel_f32 = {sum_of<float>, gradients_of<float>, tangent_of<float>};

}  // namespace torchml::operators::TORCHML_SIMD
