#include "graph/image_map.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace torchml {
namespace {

using Vector = std::array<double, 3>;

Vector position(System const& system, int particle) {
  double const* const x = system.coordinates.data() + 3 * static_cast<std::size_t>(particle);
  return {x[0], x[1], x[2]};
}

Vector operator-(Vector const& a, Vector const& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

double dot(Vector const& a, Vector const& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

int root_of(std::vector<int>& parents, int particle) {
  while (parents[particle] != particle) {
    parents[particle] = parents[parents[particle]];
    particle = parents[particle];
  }
  return particle;
}

}  // namespace

bool ImageMap::near(Vector const& a, Vector const& b) const {
  return std::abs(a[0] - b[0]) <= tolerance_ && std::abs(a[1] - b[1]) <= tolerance_ &&
         std::abs(a[2] - b[2]) <= tolerance_;
}

bool ImageMap::find(System const& system, CachedNeighbors const& neighbors, double cutoff) {
  owners_.resize(system.size());
  std::iota(owners_.begin(), owners_.end(), 0);
  images_.clear();
  // Without lists of ghosts there is nothing to prove, and little to gain.
  bool const found = neighbors.layers() > 1 &&
                     neighbors.reached_within(0) < neighbors.reached().size() &&
                     link(system, neighbors) && choose_owners(system, neighbors, cutoff) &&
                     prove(system, neighbors) && express_translations();
  if (found) return true;
  std::iota(owners_.begin(), owners_.end(), 0);
  images_.clear();
  translations_.clear();
  return false;
}

void ImageMap::set_tolerance(System const& system) {
  double largest = 1.0;
  for (double const x : system.coordinates) largest = std::max(largest, std::abs(x));
  // Simulators add a vector to coordinates and convert units: a few roundings. Never so much that
  // an energy could show it: farther from the origin nothing is found.
  tolerance_ = std::min(32.0 * std::numeric_limits<double>::epsilon() * largest, 1e-11);
}

/// Links every ghost with particles that are one translation away. False for symmetric structures.
bool ImageMap::link(System const& system, CachedNeighbors const& neighbors) {
  set_tolerance(system);
  auto const reached = neighbors.reached();
  positions_.build(system.coordinates, reached);
  parents_.resize(system.size());
  std::iota(parents_.begin(), parents_.end(), 0);
  nearest_.clear();
  steps_.clear();
  recent_.clear();
  auto const add_steps = [&](Vector const& translation) {
    for (double const sign : {1.0, -1.0}) {
      recent_.insert(recent_.begin(), static_cast<int>(steps_.size()));
      steps_.push_back({sign * translation[0], sign * translation[1], sign * translation[2]});
    }
  };
  for (auto const& translation : translations_) add_steps(translation);
  same_translations_ = !steps_.empty();

  bool const all_are_new = steps_.empty();
  for (auto place = neighbors.reached_within(0); place < reached.size(); ++place) {
    int const ghost = reached[place];
    auto const x = position(system, ghost);
    // One contributing partner is enough. Of an atom of another rank all images are linked.
    int partner = -1;
    bool contributes = false;
    for (std::size_t k = 0; k < recent_.size() && !contributes; ++k) {
      int const found = positions_.find(x - steps_[recent_[k]], tolerance_);
      if (found < 0 || found == ghost || system.species[found] != system.species[ghost]) continue;
      partner = found;
      contributes = system.contributing[found] != 0;
      parents_[root_of(parents_, ghost)] = root_of(parents_, found);
      if (contributes)
        std::rotate(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(k),
                    recent_.begin() + static_cast<std::ptrdiff_t>(k) + 1);
    }
    if (place < neighbors.listed() && (partner < 0 || (all_are_new && !contributes))) {
      if (nearest_.empty()) {
        sort_by_nearest(system, neighbors);
        if (symmetric(system, neighbors)) return false;
      }
      int const found = discover(system, neighbors, static_cast<int>(place));
      if (found >= 0 && (partner < 0 || system.contributing[found] != 0)) {
        parents_[root_of(parents_, ghost)] = root_of(parents_, found);
        add_steps(x - position(system, found));
        same_translations_ = false;
      }
    }
  }
  return !steps_.empty();
}

/// Particles with the same surroundings have nearest neighbours at the same distance.
void ImageMap::sort_by_nearest(System const& system, CachedNeighbors const& neighbors) {
  nearest_of_.clear();
  for (std::size_t place = 0; place < neighbors.listed(); ++place) {
    int const i = neighbors.reached()[place];
    auto const x = position(system, i);
    double least = std::numeric_limits<double>::infinity();
    for (int const j : neighbors.neighbors(i)) {
      auto const vector = position(system, j) - x;
      least = std::min(least, dot(vector, vector));
    }
    nearest_of_.push_back(least);
    nearest_.push_back({least, static_cast<int>(place)});
  }
  std::ranges::sort(nearest_, [](Nearest const& a, Nearest const& b) {
    return a.squared != b.squared ? a.squared < b.squared : a.place < b.place;
  });
}

/// Two contributing particles have the same surroundings: a crystal, whose own translations look
/// like those of a periodic cell.
bool ImageMap::symmetric(System const& system, CachedNeighbors const& neighbors) {
  auto const contributing = static_cast<int>(neighbors.reached_within(0));
  auto attempts = 64 * neighbors.reached_within(0);  // where nothing but the distance is the same
  for (std::size_t a = 0; a < nearest_.size(); ++a) {
    if (nearest_[a].place >= contributing || !std::isfinite(nearest_[a].squared)) continue;
    double const limit = nearest_[a].squared + 8.0 * tolerance_ * std::sqrt(nearest_[a].squared);
    for (auto b = a + 1; b < nearest_.size() && nearest_[b].squared <= limit; ++b)
      if (nearest_[b].place < contributing &&
          (attempts-- == 0 ||
           same_surroundings(system, neighbors, neighbors.reached()[nearest_[a].place],
                             neighbors.reached()[nearest_[b].place], false)))
        return true;
  }
  return false;
}

/// Of the particles with the same surroundings as the ghost at `place`, the one that was reached
/// first, if that was before the ghost; else -1.
int ImageMap::discover(System const& system, CachedNeighbors const& neighbors, int place) {
  double const squared = nearest_of_[place];
  if (!std::isfinite(squared)) return -1;
  double const width = 8.0 * tolerance_ * std::sqrt(squared);
  int const ghost = neighbors.reached()[place];
  int first = place;
  int attempts = 64;  // in a crystal all nearest neighbours are at the same distance
  for (auto at = std::ranges::lower_bound(nearest_, squared - width, {}, &Nearest::squared);
       at != nearest_.end() && at->squared <= squared + width && attempts > 0; ++at) {
    if (at->place >= first) continue;
    --attempts;
    if (same_surroundings(system, neighbors, ghost, neighbors.reached()[at->place], false))
      first = at->place;
  }
  return first < place ? neighbors.reached()[first] : -1;
}

/// The first of the linked particles owns them all.
bool ImageMap::choose_owners(System const& system, CachedNeighbors const& neighbors,
                             double cutoff) {
  std::vector<int> first(system.size(), -1);
  std::vector<int> recent;
  translations_.clear();
  auto const reached = neighbors.reached();
  for (std::size_t place = 0; place < reached.size(); ++place) {
    int const particle = reached[place];
    int& owner = first[root_of(parents_, particle)];
    if (owner < 0) {
      owner = particle;
      continue;
    }
    if (system.contributing[particle] != 0) return false;  // two atoms are no images of each other
    auto const translation = position(system, particle) - position(system, owner);
    auto known =
        std::ranges::find_if(recent, [&](int k) { return near(translations_[k], translation); });
    if (known == recent.end()) {
      if (dot(translation, translation) < cutoff * cutoff) return false;
      known = recent.insert(known, static_cast<int>(translations_.size()));
      translations_.push_back(translation);
    }
    std::rotate(recent.begin(), known, known + 1);
    images_.push_back({particle, owner, recent.front(), place});
    owners_[particle] = owner;
  }
  return !images_.empty();
}

/// Takes back the owners of all images whose lists do not prove them, until the rest is proved.
bool ImageMap::prove(System const& system, CachedNeighbors const& neighbors) {
  std::vector<char> proved(images_.size(), 1);
  auto const check = [&](std::size_t begin, std::size_t end, bool by_owner) {
    bool changed = false;
    for (auto k = begin; k < end; ++k) {
      int const particle = images_[k].particle;
      if (proved[k] == 0 ||
          same_surroundings(system, neighbors, particle, images_[k].owner, by_owner))
        continue;
      proved[k] = 0;
      owners_[particle] = particle;
      changed = true;
    }
    return changed;
  };
  // images_ are in the order of reached(): of few hops first.
  auto const images_within = [&](int hops) {
    auto const end =
        std::ranges::lower_bound(images_, neighbors.reached_within(hops), {}, &Image::place);
    return static_cast<std::size_t>(end - images_.begin());
  };
  auto const inner = images_within(neighbors.layers() - 2);
  check(inner, images_within(neighbors.layers() - 1), false);
  constexpr int patience = 16;  // a pass for each hop that a contradiction spreads
  int passes = 0;
  while (check(0, inner, true))
    if (++passes == patience) return false;

  std::size_t kept = 0;
  for (std::size_t k = 0; k < images_.size(); ++k)
    if (proved[k] != 0) images_[kept++] = images_[k];
  images_.resize(kept);
  return !images_.empty();
}

/// The neighbours of both lie at the same vectors and are of the same species or, `by_owner`, have
/// the same owners.
bool ImageMap::same_surroundings(System const& system, CachedNeighbors const& neighbors, int one,
                                 int other, bool by_owner) const {
  auto const list = neighbors.neighbors(one);
  auto const others = neighbors.neighbors(other);
  if (system.species[one] != system.species[other] || list.size() != others.size()) return false;
  auto const x = position(system, one);
  auto const y = position(system, other);
  auto const shift = x - y;
  constexpr std::size_t most = 512;  // a list longer than that proves nothing
  if (others.size() > most) return false;
  std::array<std::uint8_t, most> taken;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::fill_n(taken.begin(), others.size(), std::uint8_t{0});
  std::size_t start = 0;  // the lists of simulators tend to have the same order
  for (int const s : list) {
    auto const wanted = position(system, s) - shift;
    std::size_t k = 0;
    for (; k < others.size(); ++k) {
      auto const place = start + k < others.size() ? start + k : start + k - others.size();
      int const t = others[place];
      if (taken[place] != 0 || !near(position(system, t), wanted)) continue;
      if (by_owner ? owners_[t] != owners_[s] : system.species[t] != system.species[s])
        return false;
      taken[place] = 1;
      start = place + 1 < others.size() ? place + 1 : 0;
      break;
    }
    if (k == others.size()) return false;
  }
  return true;
}

/// Writes the translations as sums of up to three of them: where the cell deforms, the sums show
/// that still all images fit together.
bool ImageMap::express_translations() {
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
    } else if (left > 16.0 * tolerance_) {
      return false;
    }
    factors_[k] = factors;
  }
  return true;
}

bool ImageMap::holds(System const& system) {
  if (images_.empty() || system.size() != owners_.size()) return false;
  set_tolerance(system);
  auto now = translations_;
  std::vector<char> seen(translations_.size(), 0);
  for (auto const& image : images_) {
    if (system.species[image.particle] != system.species[image.owner]) return false;
    auto const vector = position(system, image.particle) - position(system, image.owner);
    if (seen[image.translation] == 0) {
      seen[image.translation] = 1;
      now[image.translation] = vector;
    } else if (!near(vector, now[image.translation])) {
      return false;
    }
  }
  for (std::size_t k = 0; k < now.size(); ++k) {
    Vector rest = now[k];
    for (std::size_t b = 0; b < basis_.size(); ++b)
      for (int c = 0; c < 3; ++c) rest[c] -= factors_[k][b] * now[basis_[b]][c];
    if (std::sqrt(dot(rest, rest)) > 32.0 * tolerance_) return false;
  }
  translations_ = std::move(now);
  return true;
}

}  // namespace torchml
