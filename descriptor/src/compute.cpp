#include "torchml/descriptor/compute.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "torchml/common/error.hpp"

namespace torchml::descriptor {
namespace {

std::string counted(std::size_t count, char const* what) {
  return std::to_string(count) + " " + what;
}

void check_lists(std::size_t centers, std::span<std::int64_t const> offsets, std::size_t entries) {
  if (offsets.size() != centers + 1 || offsets.front() != 0 ||
      offsets.back() != static_cast<std::int64_t>(entries) ||
      !std::is_sorted(offsets.begin(), offsets.end()))
    throw Error("the offsets of the neighbour lists do not fit, expected " +
                std::to_string(centers + 1) + " ascending numbers from 0 to " +
                std::to_string(entries));
}

void check_species(int code, std::size_t species, char const* whose, std::size_t index) {
  if (code < 0 || static_cast<std::size_t>(code) >= species)
    throw Error(std::string(whose) + " " + std::to_string(index) + " has species code " +
                std::to_string(code) + ", expected 0 to " + std::to_string(species - 1));
}

void check_size(std::size_t size, std::size_t expected, char const* what) {
  if (size != expected)
    throw Error(std::string(what) + " hold " + counted(size, "numbers, expected ") +
                std::to_string(expected));
}

/// One entry of a neighbour list.
struct Neighbor {
  double x;
  double y;
  double z;
  int species;
};

// What differs between atoms and edges, by overloads.

std::size_t centers_of(Atoms const& atoms) {
  return atoms.centers.size();
}
std::size_t centers_of(Edges const& edges) {
  return edges.center_species.size();
}

int center_species(Atoms const& atoms, std::size_t center) {
  return atoms.species[static_cast<std::size_t>(atoms.centers[center])];
}
int center_species(Edges const& edges, std::size_t center) {
  return edges.center_species[center];
}

Neighbor neighbor(Atoms const& atoms, std::size_t center, std::size_t entry) {
  auto const j = static_cast<std::size_t>(atoms.neighbors[entry]);
  if (j >= atoms.size())
    throw Error("the neighbour list of atom " + std::to_string(atoms.centers[center]) +
                " names atom " + std::to_string(atoms.neighbors[entry]) + ", expected 0 to " +
                std::to_string(atoms.size() - 1));
  double const* const from = &atoms.positions[3 * static_cast<std::size_t>(atoms.centers[center])];
  double const* const to = &atoms.positions[3 * j];
  return {to[0] - from[0], to[1] - from[1], to[2] - from[2], atoms.species[j]};
}
Neighbor neighbor(Edges const& edges, std::size_t, std::size_t entry) {
  double const* const v = &edges.vectors[3 * entry];
  return {v[0], v[1], v[2], edges.species[entry]};
}

void check(Atoms const& atoms, std::size_t species) {
  check_size(atoms.positions.size(), 3 * atoms.size(), "the positions");
  check_lists(atoms.centers.size(), atoms.offsets, atoms.neighbors.size());
  for (std::size_t i = 0; i < atoms.size(); ++i)
    check_species(atoms.species[i], species, "atom", i);
  for (int const center : atoms.centers)
    if (center < 0 || static_cast<std::size_t>(center) >= atoms.size())
      throw Error("atom " + std::to_string(center) + " is a centre, expected 0 to " +
                  std::to_string(atoms.size()) + " exclusively");
}

void check(Edges const& edges, std::size_t species) {
  check_size(edges.vectors.size(), 3 * edges.species.size(), "the edge vectors");
  check_lists(edges.center_species.size(), edges.offsets, edges.species.size());
  for (std::size_t c = 0; c < edges.center_species.size(); ++c)
    check_species(edges.center_species[c], species, "centre", c);
}

/// The environments of consecutive centres, with room for their gradients. One per thread: its
/// memory is that of the largest block so far.
class Block {
 public:
  template <class Source>
  void gather(Descriptor const& descriptor, Source const& source, std::size_t first,
              std::size_t count) {
    auto const& cutoffs = descriptor.cutoffs();
    auto const capacity =
        static_cast<std::size_t>(source.offsets[first + count] - source.offsets[first]) +
        count * padding;
    for (auto* const array : {&x_, &y_, &z_, &r_, &gradient_x_, &gradient_y_, &gradient_z_})
      if (array->size() < capacity) array->resize(capacity);
    if (species_.size() < capacity) species_.resize(capacity);
    if (entries_.size() < capacity) entries_.resize(capacity);

    centers_.clear();
    gradients_.clear();
    std::size_t begin = 0;
    for (std::size_t center = first; center < first + count; ++center) {
      int const own = center_species(source, center);
      std::size_t end = begin;
      for (auto entry = static_cast<std::size_t>(source.offsets[center]);
           entry < static_cast<std::size_t>(source.offsets[center + 1]); ++entry) {
        auto const [x, y, z, species] = neighbor(source, center, entry);
        check_species(species, cutoffs.species().size(), "the neighbour of edge", entry);
        double const r = std::sqrt(x * x + y * y + z * z);
        if (r >= cutoffs(own, species)) continue;
        if (!(r > 0.0))
          throw Error("entry " + std::to_string(entry) +
                      " of the neighbour lists has the distance " + std::to_string(r) +
                      " Å from its centre, expected a positive number");
        x_[end] = x;
        y_[end] = y;
        z_[end] = z;
        r_[end] = r;
        species_[end] = species;
        entries_[end++] = entry;
      }
      auto const size = end - begin;
      centers_.push_back(
          {own, size, &x_[begin], &y_[begin], &z_[begin], &r_[begin], &species_[begin]});
      gradients_.push_back({&gradient_x_[begin], &gradient_y_[begin], &gradient_z_[begin]});
      for (; (end - begin) % padding != 0; ++end) {
        x_[end] = r_[end] = 2.0 * cutoffs.largest();
        y_[end] = z_[end] = 0.0;
        species_[end] = 0;
      }
      begin = end;
    }
  }

  [[nodiscard]] std::span<Environment const> centers() const { return centers_; }
  [[nodiscard]] std::span<EnvironmentGradient const> gradients() const { return gradients_; }

  /// Where neighbour k of centre c of this block stands in the neighbour lists.
  [[nodiscard]] std::size_t entry(std::size_t c, std::size_t k) const {
    return entries_[static_cast<std::size_t>(centers_[c].x - x_.data()) + k];
  }

  Scratch scratch;

 private:
  std::vector<double> x_, y_, z_, r_;
  std::vector<double> gradient_x_, gradient_y_, gradient_z_;
  std::vector<int> species_;
  std::vector<std::size_t> entries_;
  std::vector<Environment> centers_;
  std::vector<EnvironmentGradient> gradients_;
};

/// Work on blocks of centres; one object for all threads.
template <class Source, class Work>
class Blocks {
 public:
  Blocks(Descriptor const& descriptor, Source const& source, Work const& work)
      : descriptor_(descriptor), source_(source), work_(work), centers_(centers_of(source)) {}

  [[nodiscard]] std::size_t count() const { return (centers_ + block - 1) / block; }

  /// Gathers block b and calls work(gathered, first centre). False when that threw.
  bool run(std::size_t b, Block& mine) {
    try {
      mine.gather(descriptor_, source_, b * block, std::min(block, centers_ - b * block));
      mine.scratch.reset();
      work_(mine, b * block);
      return true;
    } catch (...) {
      note(b);
      return false;
    }
  }

  /// Throws what the earliest block threw, as one thread would have met it.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void note(std::size_t b) {
#pragma omp critical(torchml_descriptor_error)
    if (!error_ || b < failed_) {
      error_ = std::current_exception();
      failed_ = b;
    }
  }

  Descriptor const& descriptor_;
  Source const& source_;
  Work const& work_;
  std::size_t centers_;
  std::exception_ptr error_;
  std::size_t failed_ = 0;
};

[[maybe_unused]] int thread_count(int threads, std::size_t blocks) {
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#endif
  return std::max(1, std::min(threads, static_cast<int>(std::min<std::size_t>(blocks, 1 << 10))));
}

/// Calls work(block, first centre) for all blocks.
template <class Source, class Work>
void for_blocks(Descriptor const& descriptor, Source const& source, [[maybe_unused]] int threads,
                Work const& work) {
  Blocks blocks(descriptor, source, work);
#pragma omp parallel num_threads(thread_count(threads, blocks.count()))
  {
    Block mine;
#pragma omp for schedule(dynamic)
    for (std::size_t b = 0; b < blocks.count(); ++b) blocks.run(b, mine);
  }
  blocks.rethrow();
}

/// The same, and then `finish` in the order of the blocks: sums of floating-point numbers are the
/// same whichever thread worked on what.
template <class Source, class Work, class Finish>
void for_blocks_in_order(Descriptor const& descriptor, Source const& source,
                         [[maybe_unused]] int threads, Work const& work, Finish const& finish) {
  Blocks blocks(descriptor, source, work);
#pragma omp parallel num_threads(thread_count(threads, blocks.count()))
  {
    Block mine;
#pragma omp for schedule(dynamic) ordered
    for (std::size_t b = 0; b < blocks.count(); ++b) {
      bool const done = blocks.run(b, mine);
#pragma omp ordered
      if (done) finish(mine, b * block);
    }
  }
  blocks.rethrow();
}

template <class Source>
void compute_values(Descriptor const& descriptor, Source const& source, std::span<double> values,
                    int threads) {
  auto const width = descriptor.width();
  check(source, descriptor.cutoffs().species().size());
  check_size(values.size(), centers_of(source) * width, "the values");
  for_blocks(descriptor, source, threads, [&](Block& mine, std::size_t first) {
    descriptor.values(mine.centers(), mine.scratch, values.data() + first * width);
  });
}

/// Adds the gradient of one edge to both of its ends.
void add_edge(std::size_t center, std::size_t neighbor, double const* g, double const* v,
              AtomGradient const& to) {
  if (!to.positions.empty()) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      to.positions[3 * neighbor + axis] += g[axis];
      to.positions[3 * center + axis] -= g[axis];
    }
  }
  if (to.virial == nullptr && to.particle_virials.empty()) return;
  Virial const share = {g[0] * v[0],
                        g[1] * v[1],
                        g[2] * v[2],
                        0.5 * (g[1] * v[2] + g[2] * v[1]),
                        0.5 * (g[0] * v[2] + g[2] * v[0]),
                        0.5 * (g[0] * v[1] + g[1] * v[0])};
  for (std::size_t c = 0; c < 6; ++c) {
    if (to.virial != nullptr) (*to.virial)[c] += share[c];
    if (to.particle_virials.empty()) continue;
    to.particle_virials[6 * neighbor + c] += 0.5 * share[c];
    to.particle_virials[6 * center + c] += 0.5 * share[c];
  }
}

/// What belongs to the edges of a block, in an array with `count` numbers for each edge.
std::span<double> of_edges(std::span<double> all, Edges const& edges, Block const& mine,
                           std::size_t first, std::size_t count) {
  auto const begin = static_cast<std::size_t>(edges.offsets[first]);
  auto const end = static_cast<std::size_t>(edges.offsets[first + mine.centers().size()]);
  return all.subspan(begin * count, (end - begin) * count);
}

}  // namespace

void compute(Descriptor const& descriptor, Atoms const& atoms, std::span<double> values,
             int threads) {
  compute_values(descriptor, atoms, values, threads);
}

void compute(Descriptor const& descriptor, Edges const& edges, std::span<double> values,
             int threads) {
  compute_values(descriptor, edges, values, threads);
}

void pull_back(Descriptor const& descriptor, Atoms const& atoms, std::span<double const> cotangent,
               AtomGradient const& gradient, int threads) {
  auto const width = descriptor.width();
  check(atoms, descriptor.cutoffs().species().size());
  check_size(cotangent.size(), atoms.centers.size() * width, "the cotangents");
  if (!gradient.positions.empty())
    check_size(gradient.positions.size(), 3 * atoms.size(), "the gradient's positions");
  if (!gradient.particle_virials.empty())
    check_size(gradient.particle_virials.size(), 6 * atoms.size(), "the virials of particles");
  for_blocks_in_order(
      descriptor, atoms, threads,
      [&](Block& mine, std::size_t first) {
        descriptor.gradient(mine.centers(), mine.scratch, cotangent.data() + first * width,
                            mine.gradients());
      },
      [&](Block const& mine, std::size_t first) {
        for (std::size_t c = 0; c < mine.centers().size(); ++c) {
          auto const& center = mine.centers()[c];
          auto const& part = mine.gradients()[c];
          for (std::size_t k = 0; k < center.size; ++k) {
            double const g[] = {part.x[k], part.y[k], part.z[k]};
            double const v[] = {center.x[k], center.y[k], center.z[k]};
            add_edge(static_cast<std::size_t>(atoms.centers[first + c]),
                     static_cast<std::size_t>(atoms.neighbors[mine.entry(c, k)]), g, v, gradient);
          }
        }
      });
}

void pull_back(Descriptor const& descriptor, Edges const& edges, std::span<double const> cotangent,
               std::span<double> gradient, int threads) {
  auto const width = descriptor.width();
  check(edges, descriptor.cutoffs().species().size());
  check_size(cotangent.size(), edges.center_species.size() * width, "the cotangents");
  check_size(gradient.size(), 3 * edges.species.size(), "the gradient");
  for_blocks(descriptor, edges, threads, [&](Block& mine, std::size_t first) {
    descriptor.gradient(mine.centers(), mine.scratch, cotangent.data() + first * width,
                        mine.gradients());
    std::ranges::fill(of_edges(gradient, edges, mine, first, 3), 0.0);
    for (std::size_t c = 0; c < mine.centers().size(); ++c) {
      auto const& part = mine.gradients()[c];
      for (std::size_t k = 0; k < mine.centers()[c].size; ++k) {
        double* const to = &gradient[3 * mine.entry(c, k)];
        to[0] = part.x[k];
        to[1] = part.y[k];
        to[2] = part.z[k];
      }
    }
  });
}

void jacobian(Descriptor const& descriptor, Edges const& edges, std::span<double> jacobian,
              int threads) {
  auto const width = descriptor.width();
  check(edges, descriptor.cutoffs().species().size());
  check_size(jacobian.size(), 3 * width * edges.species.size(), "the Jacobian");
  for_blocks(descriptor, edges, threads, [&](Block& mine, std::size_t first) {
    std::ranges::fill(of_edges(jacobian, edges, mine, first, 3 * width), 0.0);
    // The same environment many times side by side, each with the cotangent of another component.
    std::vector<double> cotangent(block * width);
    for (std::size_t c = 0; c < mine.centers().size(); ++c) {
      auto const& center = mine.centers()[c];
      std::vector<Environment> const copies(block, center);
      for (std::size_t begin = 0; begin < width; begin += block) {
        auto const count = std::min(block, width - begin);
        mine.scratch.reset();
        std::vector<EnvironmentGradient> gradients;
        std::fill(cotangent.begin(), cotangent.end(), 0.0);
        for (std::size_t d = 0; d < count; ++d) {
          auto const room = center.size + padding;
          gradients.push_back(
              {mine.scratch.doubles(room), mine.scratch.doubles(room), mine.scratch.doubles(room)});
          cotangent[d * width + begin + d] = 1.0;
        }
        descriptor.gradient({copies.data(), count}, mine.scratch, cotangent.data(), gradients);
        for (std::size_t k = 0; k < center.size; ++k) {
          for (std::size_t d = 0; d < count; ++d) {
            double* const to = &jacobian[3 * (mine.entry(c, k) * width + begin + d)];
            to[0] = gradients[d].x[k];
            to[1] = gradients[d].y[k];
            to[2] = gradients[d].z[k];
          }
        }
      }
    }
  });
}

}  // namespace torchml::descriptor
