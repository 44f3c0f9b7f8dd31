#include "torchml/descriptor/soap.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "harmonics_table.hpp"
#include "radial_table.hpp"
#include "soap_kernel.hpp"
#include "soap_radial.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml::descriptor {
namespace {

constexpr int most_functions = 16;
constexpr int highest_degree = 50;

void check(SoapParameters const& parameters) {
  auto const& [cutoffs, n_max, l_max, cutoff, eta] = parameters;
  if (cutoffs.species().empty()) throw Error("SOAP has no species, expected at least one");
  if (n_max < 1 || n_max > most_functions)
    throw Error("n_max of SOAP is " + std::to_string(n_max) + ", expected 1 to " +
                std::to_string(most_functions));
  if (l_max < 0 || l_max > highest_degree)
    throw Error("l_max of SOAP is " + std::to_string(l_max) + ", expected 0 to " +
                std::to_string(highest_degree));
  if (!(std::isfinite(cutoff) && cutoff > 0.0))
    throw Error("the cutoff of SOAP is " + shortest(cutoff) + ", expected a positive number of Å");
  if (!(std::isfinite(eta) && eta > 0.0))
    throw Error("eta of SOAP is " + shortest(eta) + ", expected a positive number of 1/Å^2");
  // The points of the quadrature are up to 0.016 cutoff apart, as wide as this Gaussian twice over.
  if (!(eta * cutoff * cutoff < 1e4))
    throw Error("eta of SOAP is " + shortest(eta) + ", expected less than " +
                shortest(1e4 / (cutoff * cutoff)) + " 1/Å^2 with a cutoff of " + shortest(cutoff) +
                " Å");
}

/// Farther than this from the radial functions' end a neighbour's Gaussian is below exp(-50).
double table_end(SoapParameters const& parameters) {
  return std::min(parameters.cutoffs.largest(),
                  parameters.cutoff + std::sqrt(50.0 / parameters.eta));
}

class Soap final : public Descriptor {
 public:
  explicit Soap(SoapParameters parameters)
      : cutoffs_(std::move(parameters.cutoffs)),
        radial_(SoapRadialIntegrals(parameters.n_max, parameters.l_max, parameters.cutoff,
                                    parameters.eta),
                static_cast<std::size_t>(parameters.n_max * (parameters.l_max + 1)),
                table_end(parameters)),
        harmonics_(harmonics_table(parameters.l_max)) {
    for (int l = 0; l <= parameters.l_max; ++l)
      scale_.push_back(4.0 * std::pow(std::numbers::pi, 3) * std::sqrt(8.0 / (2 * l + 1)));
    auto const species = cutoffs_.species().size();
    auto const radial = static_cast<std::size_t>(parameters.n_max);
    tables_ = {static_cast<int>(species),
               parameters.n_max,
               parameters.l_max,
               species * (species + 1) / 2 * (radial * (radial + 1) / 2) * scale_.size(),
               radial_.pieces(),
               harmonics_.data(),
               scale_.data()};
  }

  [[nodiscard]] std::size_t width() const override { return tables_.width; }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return cutoffs_; }

  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    soap_kernel().values(tables_, centers.data(), centers.size(), scratch, values);
  }

  void gradient(std::span<Environment const> centers, Scratch& scratch, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    soap_kernel().gradient(tables_, centers.data(), centers.size(), scratch, cotangent,
                           gradients.data());
  }

 private:
  SpeciesCutoffs cutoffs_;
  RadialTable radial_;
  std::vector<double> harmonics_;
  std::vector<double> scale_;
  SoapTables tables_{};
};

}  // namespace

std::unique_ptr<Descriptor const> make_descriptor(SoapParameters parameters) {
  check(parameters);
  return std::make_unique<Soap>(std::move(parameters));
}

}  // namespace torchml::descriptor
