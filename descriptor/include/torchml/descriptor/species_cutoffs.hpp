// The chemical species of a descriptor, and the cutoff of each pair of them.
#pragma once

#include <string>
#include <vector>

namespace torchml::descriptor {

/// S species, whose codes are their positions, and the cutoff of each pair of them, Å.
class SpeciesCutoffs {
 public:
  /// No species at all; no descriptor can be made of that.
  SpeciesCutoffs() = default;

  /// `cutoffs` is [S, S], row-major and symmetric. Throws Error unless every name is there once
  /// and every cutoff is a positive number.
  SpeciesCutoffs(std::vector<std::string> species, std::vector<double> cutoffs);

  /// The same cutoff for every pair.
  SpeciesCutoffs(std::vector<std::string> const& species, double cutoff);

  [[nodiscard]] std::vector<std::string> const& species() const { return species_; }
  [[nodiscard]] std::vector<double> const& matrix() const { return cutoffs_; }  ///< [S, S], Å
  [[nodiscard]] double operator()(int a, int b) const {
    return cutoffs_[static_cast<std::size_t>(a) * species_.size() + static_cast<std::size_t>(b)];
  }
  [[nodiscard]] double largest() const { return largest_; }  ///< Å
  [[nodiscard]] bool uniform() const;                        ///< all pairs have the same

  bool operator==(SpeciesCutoffs const&) const = default;

 private:
  std::vector<std::string> species_;
  std::vector<double> cutoffs_;
  double largest_ = 0.0;
};

}  // namespace torchml::descriptor
