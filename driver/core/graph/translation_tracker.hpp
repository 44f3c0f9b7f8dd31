// Translations of a periodic cell, followed while the cell deforms.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "graph/image.hpp"
#include "graph/vector.hpp"
#include "system.hpp"

namespace torchml {

/// Holds the translations from owners to images, and each as a sum of up to three of them. Where
/// the cell deforms, the sums show whether all images still fit together.
class TranslationTracker {
 public:
  /// Starts to follow these translations (Å). False where they are no sums of three of them.
  bool start(std::vector<Vector> translations, double tolerance);

  void clear() { translations_.clear(); }

  /// Whether all images are still one translation from their owners, which may have changed with
  /// the cell.
  [[nodiscard]] bool holds(System const& system, std::span<Image const> images);

  /// Å, as they were last seen.
  [[nodiscard]] std::span<Vector const> translations() const { return translations_; }

 private:
  /// Translations as the images show them now, or nothing where two images contradict each other.
  [[nodiscard]] std::optional<std::vector<Vector>> seen(System const& system,
                                                        std::span<Image const> images,
                                                        double tolerance) const;

  std::vector<Vector> translations_;
  std::vector<int> basis_;       ///< up to three independent ones among translations_
  std::vector<Vector> factors_;  ///< each of translations_ as a sum of the basic ones
};

}  // namespace torchml
