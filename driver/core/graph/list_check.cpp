#include "graph/list_check.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "graph/vector.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

/// Pairs at the cutoff itself are in a list or not, by rounding; their energy is zero.
constexpr double within_cutoff = 1.0 - 1e-6;

double distance(System const& system, int i, int j) {
  auto const between = position(system, j) - position(system, i);
  return std::sqrt(dot(between, between));
}

/// The list of the k-th particle.
std::span<int const> list_of(std::size_t k, std::span<std::size_t const> ends,
                             std::span<int const> lists) {
  std::size_t const begin = k == 0 ? 0 : ends[k - 1];
  return lists.subspan(begin, ends[k] - begin);
}

[[noreturn]] void refuse(System const& system, int particle, std::span<int const> list,
                         std::span<int const> near) {
  std::string example;
  std::size_t missing = 0;
  for (int const j : near) {
    if (std::ranges::find(list, j) != list.end()) continue;
    if (missing++ == 0)
      example = "particle " + std::to_string(j) + " at " +
                std::to_string(distance(system, particle, j)) + " Å among them";
  }
  throw Error(
      "the neighbour list of particle " + std::to_string(particle) + " lacks " +
      std::to_string(missing) + " of the " + std::to_string(near.size()) +
      " particles within the cutoff, " + example +
      ", expected all: in LAMMPS, write 'neigh_modify every 1 delay 0' where atoms or the "
      "box move fast and 'special_bonds lj/coul 1 1 1' for atoms with bonds, and do not use "
      "'neigh_modify exclude'; TORCHML_NEIGHBORS=excluded leaves out atoms whose lists are "
      "empty (exclusion of a group from all, fix gcmc), and TORCHML_NEIGHBORS=as_given "
      "computes with incomplete lists");
}

}  // namespace

void ListCheck::find_near(System const& system, int particle, double range) {
  near_.clear();
  index_.visit_within(position(system, particle), range, [&](int j) {
    if (j != particle) near_.push_back(j);
  });
}

/// Whether one of the particles near has neighbours, or is a ghost, whose owner has them perhaps.
bool ListCheck::is_near_present(System const& system) const {
  return std::ranges::any_of(
      near_, [&](int j) { return lists_with_[j] != 0 || system.contributing[j] == 0; });
}

/// Whether a list has no particle within the range, and beyond it only images of its own particle.
/// fix gcmc excludes an atom from all others, but not from its images: ghosts of its species that
/// no other list contains.
bool ListCheck::is_excluded(System const& system, int particle, std::span<int const> list,
                            double range) const {
  return std::ranges::all_of(list, [&](int j) {
    return system.contributing[j] == 0 && system.species[j] == system.species[particle] &&
           lists_with_[j] == 1 && distance(system, particle, j) >= range;
  });
}

void ListCheck::find_excluded(System const& system, std::span<int const> particles,
                              std::span<std::size_t const> ends, std::span<int const> lists,
                              double range) {
  lists_with_.assign(system.size(), 0);
  for (int const j : lists) ++lists_with_[j];
  for (std::size_t k = 0; k < particles.size(); ++k) {
    auto const list = list_of(k, ends, lists);
    if (!is_excluded(system, particles[k], list, range)) continue;
    find_near(system, particles[k], range);
    if (!is_near_present(system))
      throw Error("particle " + std::to_string(particles[k]) +
                  " has no neighbours, so that with TORCHML_NEIGHBORS=excluded it can be an "
                  "excluded particle or one that is alone, expected neighbours within the cutoff");
    excluded_.push_back(particles[k]);
    for (int const j : list) lists_with_[j] = 0;
  }
}

std::span<int const> ListCheck::excluded(System const& system, std::span<int const> particles,
                                         std::span<std::size_t const> ends,
                                         std::span<int const> lists, double cutoff) {
  excluded_.clear();
  if (policy_ == ListPolicy::as_given || particles.empty()) return excluded_;
  double const range = cutoff * within_cutoff;
  all_.resize(system.size());
  std::iota(all_.begin(), all_.end(), 0);
  index_.build(system.coordinates, all_);
  bool const may_be_excluded = policy_ == ListPolicy::excluded;
  if (may_be_excluded) find_excluded(system, particles, ends, lists, range);

  auto next_excluded = excluded_.begin();  // in the order of the particles
  for (std::size_t k = 0; k < particles.size(); ++k) {
    int const i = particles[k];
    if (next_excluded != excluded_.end() && *next_excluded == i) {
      ++next_excluded;
      continue;
    }
    auto const list = list_of(k, ends, lists);
    auto const at = position(system, i);
    auto const listed = std::ranges::count_if(list, [&](int j) {
      auto const between = position(system, j) - at;
      return dot(between, between) < range * range;
    });
    if (!may_be_excluded) {
      std::ptrdiff_t near = -1;  // without itself
      index_.visit_within(at, range, [&](int) { ++near; });
      if (listed >= near) continue;
    }
    find_near(system, i, range);
    if (may_be_excluded) std::erase_if(near_, [&](int j) { return lists_with_[j] == 0; });
    if (static_cast<std::size_t>(listed) < near_.size()) refuse(system, i, list, near_);
  }
  return excluded_;
}

}  // namespace torchml
