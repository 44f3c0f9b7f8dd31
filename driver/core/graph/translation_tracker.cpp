#include "graph/translation_tracker.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "graph/surroundings.hpp"

namespace torchml {

bool TranslationTracker::start(std::vector<Vector> translations, double tolerance) {
  translations_ = std::move(translations);
  basis_.clear();
  factors_.assign(translations_.size(), {});
  std::vector<int> order(translations_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int k) { return dot(translations_[k], translations_[k]); });
  // Gram-Schmidt: orthogonal axes, and each as a sum of the basic translations.
  std::array<Vector, 3> axes{};
  std::array<Vector, 3> axis_factors{};
  for (int const k : order) {
    Vector rest = translations_[k];
    Vector factors{};
    for (std::size_t b = 0; b < basis_.size(); ++b) {
      double const share = dot(rest, axes[b]) / dot(axes[b], axes[b]);
      for (int c = 0; c < 3; ++c) {
        rest[c] -= share * axes[b][c];
        factors[c] += share * axis_factors[b][c];
      }
    }
    constexpr double independent = 0.1;  // Å
    double const left = std::sqrt(dot(rest, rest));
    if (left > independent && basis_.size() < 3) {
      auto const b = basis_.size();
      axes[b] = rest;
      for (int c = 0; c < 3; ++c) axis_factors[b][c] = -factors[c];
      axis_factors[b][b] += 1.0;
      basis_.push_back(k);
      factors = {};
      factors[b] = 1.0;
    } else if (left > 16.0 * tolerance) {
      return false;
    }
    factors_[k] = factors;
  }
  return true;
}

std::optional<std::vector<Vector>> TranslationTracker::seen(System const& system,
                                                            std::span<Image const> images,
                                                            double tolerance) const {
  auto now = translations_;
  std::vector<char> known(translations_.size(), 0);
  for (auto const& image : images) {
    if (system.species[image.particle] != system.species[image.owner]) return std::nullopt;
    auto const vector = position(system, image.particle) - position(system, image.owner);
    if (known[image.translation] == 0) {
      known[image.translation] = 1;
      now[image.translation] = vector;
    } else if (!near(vector, now[image.translation], tolerance)) {
      return std::nullopt;
    }
  }
  return now;
}

bool TranslationTracker::holds(System const& system, std::span<Image const> images) {
  double const tolerance = coordinate_tolerance(system);
  auto now = seen(system, images, tolerance);
  if (!now) return false;
  for (std::size_t k = 0; k < now->size(); ++k) {
    Vector rest = (*now)[k];
    for (std::size_t b = 0; b < basis_.size(); ++b)
      for (int c = 0; c < 3; ++c) rest[c] -= factors_[k][b] * (*now)[basis_[b]][c];
    if (std::sqrt(dot(rest, rest)) > 32.0 * tolerance) return false;
  }
  translations_ = std::move(*now);
  return true;
}

}  // namespace torchml
