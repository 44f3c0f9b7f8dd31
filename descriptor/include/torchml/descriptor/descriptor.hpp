// The one interface that every kind of descriptor implements.
#pragma once

#include <memory>
#include <span>

#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"
#include "torchml/descriptor/species_cutoffs.hpp"

namespace torchml::descriptor {

/// A vector of `width` numbers for the environment of an atom that does not change when the
/// environment is rotated or its neighbours are renumbered. Immutable: threads may share it.
///
/// compute.hpp finds environments in structures and calls these functions for many atoms.
class Descriptor {
 public:
  virtual ~Descriptor() = default;

  [[nodiscard]] virtual std::size_t width() const = 0;

  /// Neighbours at or beyond their cutoff are not part of an environment.
  [[nodiscard]] virtual SpeciesCutoffs const& cutoffs() const = 0;

  /// Writes values[c * width() + d] for the centres c of a block. The caller owns the scratch
  /// and resets it between blocks.
  virtual void values(std::span<Environment const> centers, Scratch& scratch,
                      double* values) const = 0;

  /// Writes, for each centre c, the derivative of sum_d cotangent[c * width() + d] * D[c, d] with
  /// respect to the vectors of its environment.
  virtual void gradient(std::span<Environment const> centers, Scratch& scratch,
                        double const* cotangent,
                        std::span<EnvironmentGradient const> gradients) const = 0;
};

}  // namespace torchml::descriptor
