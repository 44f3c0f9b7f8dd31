#include "torchml/descriptor/species_cutoffs.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "torchml/common/error.hpp"

namespace torchml::descriptor {

SpeciesCutoffs::SpeciesCutoffs(std::vector<std::string> species, std::vector<double> cutoffs)
    : species_(std::move(species)), cutoffs_(std::move(cutoffs)) {
  auto const count = species_.size();
  if (count == 0) throw Error("a descriptor has no species, expected at least one");
  if (std::set<std::string>(species_.begin(), species_.end()).size() != count)
    throw Error("a species of a descriptor occurs twice, expected each once");
  if (cutoffs_.size() != count * count)
    throw Error(std::to_string(cutoffs_.size()) + " cutoffs are given for " +
                std::to_string(count) + " species, expected " + std::to_string(count * count));
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = 0; b < count; ++b) {
      double const cutoff = cutoffs_[a * count + b];
      auto const pair = species_[a] + "-" + species_[b];
      if (!(std::isfinite(cutoff) && cutoff > 0.0))
        throw Error("the cutoff of " + pair + " is " + std::to_string(cutoff) +
                    ", expected a positive number of Å");
      if (cutoff != cutoffs_[b * count + a])
        throw Error("the cutoff of " + pair + " is " + std::to_string(cutoff) + " one way and " +
                    std::to_string(cutoffs_[b * count + a]) +
                    " the other, expected the same number of Å");
    }
  }
  largest_ = *std::max_element(cutoffs_.begin(), cutoffs_.end());
}

SpeciesCutoffs::SpeciesCutoffs(std::vector<std::string> const& species, double cutoff)
    : SpeciesCutoffs(species, std::vector<double>(species.size() * species.size(), cutoff)) {}

bool SpeciesCutoffs::uniform() const {
  return std::all_of(cutoffs_.begin(), cutoffs_.end(),
                     [this](double cutoff) { return cutoff == largest_; });
}

}  // namespace torchml::descriptor
