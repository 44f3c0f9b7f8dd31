// The input of a descriptor: one centre atom with its neighbours.
#pragma once

#include <cstddef>

namespace torchml::descriptor {

/// Arrays of an environment may be read, and those of its gradient written, up to a multiple of
/// this many neighbours. What lies there is finite: vectors longer than any cutoff, species 0.
inline constexpr std::size_t padding = 8;

/// At most this many centres are passed to a descriptor at a time.
inline constexpr std::size_t block = 16;

/// The neighbours of one centre that are nearer than the cutoff of the two species. All distances
/// are positive.
struct Environment {
  int center_species;
  std::size_t size;    ///< number of neighbours, possibly none
  double const* x;     ///< [size] components of x_neighbour - x_centre, Å
  double const* y;     ///< [size]
  double const* z;     ///< [size]
  double const* r;     ///< [size] lengths, Å
  int const* species;  ///< [size] codes
};

/// Derivatives with respect to the vectors of an environment; the arrays do not overlap with its
/// own.
struct EnvironmentGradient {
  double* x;  ///< [size]
  double* y;  ///< [size]
  double* z;  ///< [size]
};

}  // namespace torchml::descriptor
