#include "torchml/descriptor/bispectrum.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <numbers>
#include <string>
#include <utility>

#include "bispectrum_kernel.hpp"
#include "clebsch_gordan.hpp"
#include "torchml/common/error.hpp"

namespace torchml::descriptor {
namespace {

/// Doubled momenta, j1 and j2 coupled to j.
struct Triple {
  int j1;
  int j2;
  int j;
};

/// What the values are made of, in their order.
std::vector<Triple> triples_of(int twojmax, int diagonalstyle) {
  std::vector<Triple> triples;
  for (int j1 = 0; j1 <= twojmax; ++j1) {
    if (diagonalstyle == 2) {
      triples.push_back({j1, j1, j1});
      continue;
    }
    for (int j2 = diagonalstyle == 1 ? j1 : 0; j2 <= j1; ++j2)
      for (int j = j1 - j2; j <= std::min(twojmax, j1 + j2); j += 2)
        if (diagonalstyle != 3 || j >= j1) triples.push_back({j1, j2, j});
  }
  return triples;
}

std::size_t index(int i) {
  return static_cast<std::size_t>(i);
}

double factorial(int n) {
  double value = 1.0;
  for (int i = 2; i <= n; ++i) value *= i;
  return value;
}

void check(BispectrumParameters const& p) {
  auto const between = [](char const* name, int value, int low, int high) {
    if (value < low || value > high)
      throw Error(std::string(name) + " of the bispectrum is " + std::to_string(value) +
                  ", expected " + std::to_string(low) + " to " + std::to_string(high));
  };
  auto const species = p.cutoffs.species().size();
  if (species == 0) throw Error("the bispectrum has no species, expected at least one");
  between("twojmax", p.twojmax, 0, largest_twojmax);
  between("diagonalstyle", p.diagonalstyle, 0, 3);
  if (!(p.rfac0 > 0.0 && p.rfac0 <= 1.0))
    throw Error("rfac0 of the bispectrum is " + std::to_string(p.rfac0) +
                ", expected a number above 0 and at most 1");
  auto const& cutoffs = p.cutoffs.matrix();
  double const smallest = *std::min_element(cutoffs.begin(), cutoffs.end());
  if (!(p.rmin0 >= 0.0 && p.rmin0 < smallest))
    throw Error("rmin0 of the bispectrum is " + std::to_string(p.rmin0) +
                " Å, expected at least 0 and less than the smallest cutoff, " +
                std::to_string(smallest) + " Å");
  if (p.weights.size() != species)
    throw Error("the bispectrum has " + std::to_string(p.weights.size()) +
                " weights, expected one for each of the " + std::to_string(species) + " species");
  for (double const weight : p.weights)
    if (!std::isfinite(weight))
      throw Error("a weight of the bispectrum is " + std::to_string(weight) +
                  ", expected a finite number");
}

/// What CoupledMomenta and BispectrumTables point to.
class Tables {
 public:
  explicit Tables(BispectrumParameters const& p)
      : twojmax_(p.twojmax),
        rfac0_pi_(p.rfac0 * std::numbers::pi),
        rmin0_(p.rmin0),
        switching_(p.switch_flag),
        weights_(p.weights) {
    for (double const cutoff : p.cutoffs.matrix())
      inverse_ranges_.push_back(1.0 / (cutoff - p.rmin0));
    halves_.push_back(0);
    for (int j = 0; j <= p.twojmax; ++j) {
      for (int mb = 0; 2 * mb <= j; ++mb)
        for (int ma = 0; ma <= j; ++ma)
          norms_.push_back(
              std::sqrt(factorial(ma) / factorial(mb) * factorial(j - ma) / factorial(j - mb)));
      halves_.push_back(static_cast<int>(norms_.size()));
    }
  }
  Tables(Tables const&) = delete;
  Tables& operator=(Tables const&) = delete;

  /// The number of the invariant of three momenta, in whatever order.
  std::size_t invariant(Triple const& triple) {
    std::array<int, 3> momenta = {triple.j1, triple.j2, triple.j};
    std::sort(momenta.begin(), momenta.end());
    auto const [known, is_new] = invariants_.try_emplace(momenta, invariants_.size());
    if (is_new) add_invariant(momenta, known->second);
    return known->second;
  }

  /// Valid while this object is, and until the next invariant.
  [[nodiscard]] BispectrumTables view() const {
    return {.twojmax = twojmax_,
            .rfac0_pi = rfac0_pi_,
            .rmin0 = rmin0_,
            .switching = switching_,
            .species = weights_.size(),
            .inverse_ranges = inverse_ranges_.data(),
            .weights = weights_.data(),
            .halves = halves_.data(),
            .norms = norms_.data(),
            .invariants = invariants_.size(),
            .value_count = value_couplings_.size(),
            .value_couplings = value_couplings_.data(),
            .gradient_count = gradient_couplings_.size(),
            .gradient_couplings = gradient_couplings_.data()};
  }

 private:
  void add_invariant(std::array<int, 3> const& momenta, std::size_t number) {
    auto const [a, b, c] = momenta;
    // Two equal momenta are coupled for half the price.
    value_couplings_.push_back(b == c ? coupling(b, c, a, 1.0, number)
                                      : coupling(a, b, c, 1.0, number));
    // I is linear in each of its three matrices, some of which may be the same.
    for (std::size_t i = 0; i < 3; ++i) {
      int const j = momenta[i];
      if (i > 0 && momenta[i - 1] == j) continue;
      auto const times = static_cast<double>(std::count(momenta.begin(), momenta.end(), j));
      gradient_couplings_.push_back(
          coupling(momenta[i == 0 ? 1 : 0], momenta[i == 2 ? 1 : 2], j, times, number));
    }
  }

  CoupledMomenta coupling(int j1, int j2, int j, double times, std::size_t number) {
    auto const size = index((j1 + 1) * (j2 + 1));
    auto& inner = coefficients_.emplace_back(size);
    auto& outer = coefficients_.emplace_back(size);
    for (int m1 = 0; m1 <= j1; ++m1) {
      for (int m2 = 0; m2 <= j2; ++m2) {
        auto const i = index(m1 * (j2 + 1) + m2);
        int const projection1 = 2 * m1 - j1;
        int const projection2 = 2 * m2 - j2;
        inner[i] = clebsch_gordan(j1, projection1, j2, projection2, j, projection1 + projection2);
        outer[i] = inner[i] * times / (j + 1) * (j1 == j2 && m2 < m1 ? 2.0 : 1.0);
      }
    }
    return {j1, j2, j, number, inner.data(), outer.data()};
  }

  int twojmax_;
  double rfac0_pi_;
  double rmin0_;
  bool switching_;
  std::vector<double> weights_;
  std::vector<double> inverse_ranges_;
  std::vector<int> halves_;
  std::vector<double> norms_;
  std::deque<std::vector<double>> coefficients_;
  std::map<std::array<int, 3>, std::size_t> invariants_;
  std::vector<CoupledMomenta> value_couplings_;
  std::vector<CoupledMomenta> gradient_couplings_;
};

class Bispectrum final : public Descriptor {
 public:
  explicit Bispectrum(BispectrumParameters const& p)
      : cutoffs_(p.cutoffs), tables_(p), kernel_(bispectrum_kernel()) {
    for (auto const& triple : triples_of(p.twojmax, p.diagonalstyle)) {
      // Three equal half-integers do not couple: the value is 0, with or without bzero.
      bool const couples = (triple.j1 + triple.j2 + triple.j) % 2 == 0;
      double const factor = couples ? triple.j + 1 : 0.0;
      outputs_.push_back(
          {couples ? tables_.invariant(triple) : 0, factor, p.bzero_flag ? factor : 0.0});
    }
  }

  [[nodiscard]] std::size_t width() const override { return outputs_.size(); }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return cutoffs_; }

  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    auto const tables = tables_.view();
    double* const invariants = scratch.doubles(centers.size() * tables.invariants);
    kernel_.values(tables, centers.data(), centers.size(), scratch, invariants);
    for (std::size_t c = 0; c < centers.size(); ++c)
      for (std::size_t d = 0; d < width(); ++d)
        values[c * width() + d] =
            outputs_[d].factor * invariants[c * tables.invariants + outputs_[d].invariant] -
            outputs_[d].shift;
  }

  void gradient(std::span<Environment const> centers, Scratch& scratch, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    auto const tables = tables_.view();
    auto const count = centers.size() * tables.invariants;
    double* const of_invariants = scratch.doubles(count);
    std::fill(of_invariants, of_invariants + count, 0.0);
    for (std::size_t c = 0; c < centers.size(); ++c)
      for (std::size_t d = 0; d < width(); ++d)
        of_invariants[c * tables.invariants + outputs_[d].invariant] +=
            outputs_[d].factor * cotangent[c * width() + d];
    kernel_.gradient(tables, centers.data(), centers.size(), scratch, of_invariants,
                     gradients.data());
  }

 private:
  /// factor * invariant - shift
  struct Output {
    std::size_t invariant;
    double factor;
    double shift;
  };

  SpeciesCutoffs cutoffs_;
  Tables tables_;
  std::vector<Output> outputs_;
  BispectrumKernel const& kernel_;
};

}  // namespace

std::unique_ptr<Descriptor const> make_descriptor(BispectrumParameters parameters) {
  if (parameters.weights.empty())
    parameters.weights.assign(parameters.cutoffs.species().size(), 1.0);
  check(parameters);
  return std::make_unique<Bispectrum const>(parameters);
}

}  // namespace torchml::descriptor
