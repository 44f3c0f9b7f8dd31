#include "torchml/descriptor/symmetry_functions.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "symmetry_functions_kernel.hpp"
#include "torchml/common/error.hpp"

namespace torchml::descriptor {
namespace {

using Kind = SymmetryFunction::Kind;

/// Beyond that, the cosine of kappa r would lose digits.
constexpr double largest_phase = 1e5;

/// Larger numbers mean nothing, and their products overflow.
constexpr double largest_parameter = 1e12;

/// The power of an angle may be up to exp of this.
constexpr double largest_exponent = 600.0;

/// Integers up to this are powers by multiplication, others by logarithms.
constexpr double largest_integer = 256.0;

std::string name_of(std::size_t index, Kind kind) {
  return "symmetry function " + std::to_string(index + 1) + " (g" +
         std::to_string(static_cast<int>(kind) + 1) + ")";
}

void check(SymmetryFunctionsParameters const& parameters) {
  if (parameters.cutoffs.species().empty())
    throw Error("the symmetry functions have no species, expected at least one");
  if (parameters.functions.empty())
    throw Error("there are no symmetry functions, expected at least one");
  for (std::size_t index = 0; index < parameters.functions.size(); ++index) {
    auto const& function = parameters.functions[index];
    auto const expect = [&](bool holds, char const* key, double value, char const* expected) {
      if (!holds)
        throw Error(name_of(index, function.kind) + " has " + key + " " + std::to_string(value) +
                    ", expected " + expected);
    };
    auto const expect_eta = [&] {
      expect(function.eta >= 0.0 && function.eta <= largest_parameter, "eta", function.eta,
             "a number from 0 to 1e12");
    };
    switch (function.kind) {
      case Kind::g1:
        break;
      case Kind::g2:
        expect_eta();
        expect(std::abs(function.shift) <= largest_parameter, "the shift", function.shift,
               "a number of at most 1e12");
        break;
      case Kind::g3:
        expect(std::abs(function.kappa) * parameters.cutoffs.largest() <= largest_phase, "kappa",
               function.kappa, "at most 1e5 over the largest cutoff");
        break;
      case Kind::g4:
      case Kind::g5:
        expect_eta();
        expect(function.zeta > 0.0 && function.zeta <= largest_parameter, "zeta", function.zeta,
               "a positive number of at most 1e12");
        expect(
            std::isfinite(function.lambda) &&
                function.zeta * std::log(0.5 + 0.5 * std::abs(function.lambda)) <= largest_exponent,
            "lambda", function.lambda,
            "a number with ((1 + |lambda|)/2)^zeta of at most exp(600), usually 1 or -1");
        break;
    }
  }
}

/// The position of a value in a list, to which it is added where missing.
template <class Value>
std::size_t position(std::vector<Value>& list, Value const& value) {
  auto const known = std::find(list.begin(), list.end(), value);
  auto const index = static_cast<std::size_t>(known - list.begin());
  if (known == list.end()) list.push_back(value);
  return index;
}

/// Where each of `groups` groups begins in a list that is sorted by group(entry).
template <class Entry, class Group>
std::vector<int> firsts(std::vector<Entry> const& list, std::size_t groups, Group const& group) {
  std::vector<int> first(groups + 1, 0);
  for (auto const& entry : list) ++first[static_cast<std::size_t>(group(entry)) + 1];
  for (std::size_t g = 0; g < groups; ++g) first[g + 1] += first[g];
  return first;
}

/// The lists of AngularFunctions for the functions of one kind.
class AngularLists {
 public:
  AngularLists(std::vector<SymmetryFunction> const& functions, Kind kind) : kind_(kind) {
    std::vector<std::pair<double, double>> angles;  // lambda, zeta
    for (auto const& function : functions)
      if (function.kind == kind) angles.emplace_back(function.lambda, function.zeta);
    std::sort(angles.begin(), angles.end());
    angles.erase(std::unique(angles.begin(), angles.end()), angles.end());
    for (auto const& [lambda, zeta] : angles) {
      bool const integer = zeta == std::floor(zeta) && zeta <= largest_integer;
      power_.push_back({zeta, integer ? static_cast<int>(zeta) : 0,
                        static_cast<int>(position(lambda_, lambda))});
    }
    for (std::size_t output = 0; output < functions.size(); ++output) {
      auto const& function = functions[output];
      if (function.kind != kind) continue;
      auto const angle = std::pair(function.lambda, function.zeta);
      by_eta_.push_back(
          {static_cast<int>(position(eta_, function.eta)),
           static_cast<int>(std::lower_bound(angles.begin(), angles.end(), angle) - angles.begin()),
           static_cast<int>(output)});
    }
    by_power_ = by_eta_;
    auto const eta_of = [](AngularTerm const& term) { return term.eta; };
    auto const power_of = [](AngularTerm const& term) { return term.power; };
    std::ranges::stable_sort(by_eta_, {}, eta_of);
    std::ranges::stable_sort(by_power_, {}, power_of);
    first_power_ =
        firsts(power_, lambda_.size(), [](AngularPower const& power) { return power.lambda; });
    first_of_eta_ = firsts(by_eta_, eta_.size(), eta_of);
    first_of_power_ = firsts(by_power_, power_.size(), power_of);
  }

  [[nodiscard]] AngularFunctions view() const {
    return {kind_ == Kind::g4, eta_.size(),          lambda_.size(), power_.size(),
            by_eta_.size(),    eta_.data(),          lambda_.data(), first_power_.data(),
            power_.data(),     first_of_eta_.data(), by_eta_.data(), first_of_power_.data(),
            by_power_.data()};
  }

 private:
  Kind kind_;
  std::vector<double> eta_, lambda_;
  std::vector<int> first_power_, first_of_eta_, first_of_power_;
  std::vector<AngularPower> power_;
  std::vector<AngularTerm> by_eta_, by_power_;
};

std::vector<RadialFunction> radial_functions(std::vector<SymmetryFunction> const& functions) {
  std::vector<RadialFunction> radial;
  for (std::size_t index = 0; index < functions.size(); ++index) {
    auto const& function = functions[index];
    auto const output = static_cast<int>(index);
    using Shape = RadialFunction::Shape;
    if (function.kind == Kind::g1) radial.push_back({Shape::one, 0.0, 0.0, output});
    if (function.kind == Kind::g2)
      radial.push_back({Shape::gaussian, function.eta, function.shift, output});
    if (function.kind == Kind::g3) radial.push_back({Shape::cosine, function.kappa, 0.0, output});
  }
  return radial;
}

std::vector<double> stretches(SpeciesCutoffs const& cutoffs) {
  std::vector<double> stretch;
  for (double const cutoff : cutoffs.matrix()) {
    double const root = 0.5 * std::numbers::pi / cutoff;
    stretch.push_back(root * root);
  }
  return stretch;
}

class SymmetryFunctions final : public Descriptor {
 public:
  explicit SymmetryFunctions(SymmetryFunctionsParameters parameters)
      : parameters_(std::move(parameters)),
        stretch_(stretches(parameters_.cutoffs)),
        radial_(radial_functions(parameters_.functions)),
        g4_(parameters_.functions, Kind::g4),
        g5_(parameters_.functions, Kind::g5),
        tables_{width(),
                parameters_.cutoffs.species().size(),
                parameters_.cutoffs.uniform(),
                stretch_.data(),
                radial_.size(),
                radial_.data(),
                {g4_.view(), g5_.view()}},
        kernel_(symmetry_functions_kernel()) {}

  [[nodiscard]] std::size_t width() const override { return parameters_.functions.size(); }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return parameters_.cutoffs; }

  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    kernel_.values(tables_, centers.data(), centers.size(), scratch, values);
  }

  void gradient(std::span<Environment const> centers, Scratch& scratch, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    kernel_.gradient(tables_, centers.data(), centers.size(), scratch, cotangent, gradients.data());
  }

 private:
  SymmetryFunctionsParameters parameters_;
  std::vector<double> stretch_;
  std::vector<RadialFunction> radial_;
  AngularLists g4_, g5_;
  SymmetryFunctionTables tables_;  ///< points into the above
  SymmetryFunctionsKernel const& kernel_;
};

}  // namespace

std::unique_ptr<Descriptor const> make_descriptor(SymmetryFunctionsParameters parameters) {
  check(parameters);
  return std::make_unique<SymmetryFunctions>(std::move(parameters));
}

}  // namespace torchml::descriptor
