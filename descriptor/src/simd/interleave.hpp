// Environments side by side: one centre per lane.
#pragma once

#include "torchml/common/simd/vectors.hpp"
#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"

namespace torchml::descriptor::TORCHML_SIMD {
using namespace torchml::simd::TORCHML_SIMD;

/// Neighbours of up to `lanes` centres, neighbour k of lane l at [k * lanes + l]. Where a centre
/// has fewer neighbours than others stands the vector (1, 0, 0) Å, and `present` is 0.
struct Interleaved {
  std::size_t size;  ///< neighbours of the centre that has most
  double* x;         ///< Å
  double* y;
  double* z;
  double* r;
  double* present;  ///< 1 or 0
  int* index;       ///< position in the environment of the lane; 0 where nothing is present
};

/// Environments of `count` <= lanes centres, with neighbours of one species alone unless
/// `species` is -1.
inline Interleaved interleave(Environment const* centers, std::size_t count, int species,
                              Scratch& scratch) {
  std::size_t size = 0;
  for (std::size_t lane = 0; lane < count; ++lane) {
    auto const& center = centers[lane];
    std::size_t chosen = center.size;
    if (species >= 0) {
      chosen = 0;
      for (std::size_t k = 0; k < center.size; ++k) chosen += center.species[k] == species;
    }
    if (chosen > size) size = chosen;
  }
  std::size_t const slots = size * lanes;
  Interleaved all{size,
                  scratch.doubles(slots),
                  scratch.doubles(slots),
                  scratch.doubles(slots),
                  scratch.doubles(slots),
                  scratch.doubles(slots),
                  scratch.ints(slots)};
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    std::size_t slot = lane;
    if (lane < count) {
      auto const& center = centers[lane];
      for (std::size_t k = 0; k < center.size; ++k) {
        if (species >= 0 && center.species[k] != species) continue;
        all.x[slot] = center.x[k];
        all.y[slot] = center.y[k];
        all.z[slot] = center.z[k];
        all.r[slot] = center.r[k];
        all.present[slot] = 1.0;
        all.index[slot] = static_cast<int>(k);
        slot += lanes;
      }
    }
    for (; slot < slots; slot += lanes) {
      all.x[slot] = all.r[slot] = 1.0;
      all.y[slot] = all.z[slot] = all.present[slot] = 0.0;
      all.index[slot] = 0;
    }
  }
  return all;
}

/// Writes the gradient of neighbour k of every lane, where one is present.
TORCHML_INLINE void scatter_gradient(Interleaved const& all, std::size_t k, Vector gx, Vector gy,
                                     Vector gz, EnvironmentGradient const* gradients) {
  alignas(64) double x[lanes], y[lanes], z[lanes];
  store(gx, x);
  store(gy, y);
  store(gz, z);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    std::size_t const slot = k * lanes + lane;
    if (all.present[slot] == 0.0) continue;
    auto const& gradient = gradients[lane];
    auto const at = static_cast<std::size_t>(all.index[slot]);
    gradient.x[at] = x[lane];
    gradient.y[at] = y[lane];
    gradient.z[at] = z[lane];
  }
}

}  // namespace torchml::descriptor::TORCHML_SIMD
