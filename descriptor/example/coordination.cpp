#include "coordination.hpp"

#include <algorithm>

namespace example {
namespace {

using namespace torchml::descriptor;

class Coordination final : public Descriptor {
 public:
  explicit Coordination(SpeciesCutoffs cutoffs) : cutoffs_(std::move(cutoffs)) {}

  [[nodiscard]] std::size_t width() const override { return cutoffs_.species().size(); }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return cutoffs_; }

  void values(std::span<Environment const> centers, Scratch&, double* values) const override {
    for (auto const& center : centers) {
      std::fill_n(values, width(), 0.0);
      for (std::size_t k = 0; k < center.size; ++k) {
        double const rest = 1.0 - square(center, k);
        values[center.species[k]] += rest * rest;
      }
      values += width();
    }
  }

  void gradient(std::span<Environment const> centers, Scratch&, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    for (std::size_t c = 0; c < centers.size(); ++c, cotangent += width()) {
      auto const& center = centers[c];
      for (std::size_t k = 0; k < center.size; ++k) {
        double const rc = cutoffs_(center.center_species, center.species[k]);
        // d(1 - r^2/rc^2)^2 = -4 (1 - r^2/rc^2) / rc^2 r dr, and r dr = x dx + y dy + z dz
        double const factor =
            -4.0 * cotangent[center.species[k]] * (1.0 - square(center, k)) / (rc * rc);
        gradients[c].x[k] = factor * center.x[k];
        gradients[c].y[k] = factor * center.y[k];
        gradients[c].z[k] = factor * center.z[k];
      }
    }
  }

 private:
  /// (r/rc)^2 of neighbour k.
  [[nodiscard]] double square(Environment const& center, std::size_t k) const {
    double const ratio = center.r[k] / cutoffs_(center.center_species, center.species[k]);
    return ratio * ratio;
  }

  SpeciesCutoffs cutoffs_;
};

}  // namespace

std::unique_ptr<Descriptor const> make_descriptor(CoordinationParameters parameters) {
  return std::make_unique<Coordination>(std::move(parameters.cutoffs));
}

}  // namespace example
