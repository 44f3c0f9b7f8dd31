// Descriptors of many atoms at once, and their derivatives.
#pragma once

#include <cstdint>
#include <span>

#include "torchml/common/virial.hpp"
#include "torchml/descriptor/descriptor.hpp"

namespace torchml::descriptor {

/// Atoms with a full neighbour list for each of the centres: a view, nothing is owned. A list may
/// reach beyond the cutoff. Periodic images are atoms of their own.
struct Atoms {
  std::span<double const> positions;      ///< [3 N], Å
  std::span<int const> species;           ///< [N] codes
  std::span<int const> centers;           ///< [C] atoms whose descriptors are wanted, any order
  std::span<std::int64_t const> offsets;  ///< [C + 1] where the list of each centre begins
  std::span<int const> neighbors;         ///< [offsets[C]] atoms

  [[nodiscard]] std::size_t size() const { return species.size(); }
};

/// The same in terms of vectors to the neighbours, where positions do not matter (periodic cells
/// of any size, batches of structures).
struct Edges {
  std::span<int const> center_species;    ///< [C] codes
  std::span<std::int64_t const> offsets;  ///< [C + 1] where the edges of each centre begin
  std::span<int const> species;           ///< [E] codes of the neighbours
  std::span<double const> vectors;        ///< [3 E] x_neighbour - x_centre, Å
};

using torchml::Virial;

/// Where derivatives of sum_cd cotangent[c, d] D[c, d] go; empty spans and nullptr are left out.
/// Every array is added to.
struct AtomGradient {
  std::span<double> positions = {};         ///< [3 N] d/dx: minus the forces of an energy
  Virial* virial = nullptr;                 ///< sum of x (x) d/dx
  std::span<double> particle_virials = {};  ///< [6 N] half of each edge's at either end
};

/// All functions run on `threads` threads (0: OpenMP's number) and give the same bits for any
/// number of them. They throw Error when sizes do not fit, an index or species is out of range, or
/// a neighbour lies on its centre; what was written until then stays.

/// Writes values [C, width].
void compute(Descriptor const& descriptor, Atoms const& atoms, std::span<double> values,
             int threads = 0);
void compute(Descriptor const& descriptor, Edges const& edges, std::span<double> values,
             int threads = 0);

/// Vector-Jacobian product with cotangent [C, width]; memory does not grow with the atoms.
void pull_back(Descriptor const& descriptor, Atoms const& atoms, std::span<double const> cotangent,
               AtomGradient const& gradient, int threads = 0);

/// The same with respect to the vectors: writes gradient [3 E].
void pull_back(Descriptor const& descriptor, Edges const& edges, std::span<double const> cotangent,
               std::span<double> gradient, int threads = 0);

/// The whole Jacobian, for fits: writes jacobian [E, width, 3], the derivatives of the values of
/// an edge's centre with respect to the edge's vector. As expensive as `width` products.
void jacobian(Descriptor const& descriptor, Edges const& edges, std::span<double> jacobian,
              int threads = 0);

}  // namespace torchml::descriptor
