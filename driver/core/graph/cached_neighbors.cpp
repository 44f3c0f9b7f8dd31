#include "graph/cached_neighbors.hpp"

#include <algorithm>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml {
namespace {

/// How far beyond the cutoff pairs are kept: the further, the longer the lists live, but n layers
/// look n times as far, and simulators have ghosts to n cutoffs and their skin.
double margin_for(double cutoff, int layers) {
  constexpr double usual_skin = 1.2;  // Å; LAMMPS has 2 Å, less what atoms move between its lists
  return std::min(0.1 * cutoff, usual_skin / layers);
}

}  // namespace

bool CachedNeighbors::rebuild(System const& system, std::span<double const> cutoffs) {
  if (kept_ && std::ranges::equal(cutoffs, cutoffs_) && !needs_rebuild(system)) return false;
  kept_ = false;  // nothing is, if reading fails
  cutoffs_.assign(cutoffs.begin(), cutoffs.end());
  uniform_ = cutoffs_.front() == cutoffs_.back();
  margin_ = margin_for(cutoffs_.back(), static_cast<int>(cutoffs_.size()));
  species_.assign(system.species.begin(), system.species.end());
  contributing_.assign(system.contributing.begin(), system.contributing.end());
  coordinates_.assign(system.coordinates.begin(), system.coordinates.end());
  present_ = contributing_;
  read(system);
  if (leave_out_excluded(system, cutoffs_.front())) read(system);
  kept_ = true;
  return true;
}

std::size_t CachedNeighbors::place_of(int particle) const {
  auto const place = static_cast<std::size_t>(place_[particle]);
  if (place >= listed())
    throw Error("particle " + std::to_string(particle) + " has no neighbour list, expected one");
  return place;
}

std::span<int const> CachedNeighbors::neighbors(int particle) const {
  auto const place = place_of(particle);
  return std::span(neighbors_).subspan(offsets_[place], offsets_[place + 1] - offsets_[place]);
}

std::span<int const> CachedNeighbors::neighbors_within(int particle, int hops) const {
  if (uniform_) return neighbors(particle);
  auto const place = place_of(particle);
  auto const end = ends_[place * cutoffs_.size() + static_cast<std::size_t>(hops)];
  return std::span(neighbors_).subspan(offsets_[place], end - offsets_[place]);
}

int CachedNeighbors::hops_to(int particle) const {
  auto const shell = std::ranges::upper_bound(counts_, place_of(particle));
  return static_cast<int>(shell - counts_.begin());
}

bool CachedNeighbors::needs_rebuild(System const& system) const {
  if (!std::ranges::equal(system.species, species_) ||
      !std::ranges::equal(system.contributing, contributing_))
    return true;
  // Two particles that both move by half the margin are as close as they can get.
  double furthest = 0.0;
  for (std::size_t i = 0; i < coordinates_.size(); i += 3) {
    double const dx = system.coordinates[i] - coordinates_[i];
    double const dy = system.coordinates[i + 1] - coordinates_[i + 1];
    double const dz = system.coordinates[i + 2] - coordinates_[i + 2];
    furthest = std::max(furthest, dx * dx + dy * dy + dz * dz);
  }
  if (!(furthest < 0.25 * margin_ * margin_)) return true;
  // KIM-API does not signal a new list, and simulators reuse the buffer: compare the contents.
  std::size_t begin = 0;
  for (std::size_t k = 0; k < listed(); ++k) {
    auto const before = std::span(source_).subspan(begin, source_ends_[k] - begin);
    if (!std::ranges::equal(system.neighbors->neighbors(reached_[k]), before)) return true;
    begin = source_ends_[k];
  }
  return false;
}

/// Whether there are any.
bool CachedNeighbors::leave_out_excluded(System const& system, double cutoff) {
  // No simulator: the lists are complete, and particles of other structures may be in between.
  if (!system.owners.empty()) return false;
  auto const contributing = reached_within(0);
  auto const ends = std::span(source_ends_).first(contributing);
  auto const lists = std::span(source_).first(ends.empty() ? 0 : ends.back());
  auto const excluded = check_.excluded(system, reached().first(contributing), ends, lists, cutoff);
  for (int const i : excluded) present_[i] = 0;
  return !excluded.empty();
}

void CachedNeighbors::read(System const& system) {
  auto const particles = static_cast<int>(system.size());
  place_.assign(system.size(), -1);
  reached_.clear();
  counts_.clear();
  offsets_.assign(1, 0);
  neighbors_.clear();
  ends_.clear();
  source_ends_.clear();
  source_.clear();

  auto const reach = [&](int particle) {
    if (place_[particle] >= 0) return;
    place_[particle] = static_cast<int>(reached_.size());
    reached_.push_back(particle);
  };
  for (int i = 0; i < particles; ++i)
    if (present_[i] != 0) reach(i);
  counts_.push_back(reached_.size());

  for (int hops = 0; hops < static_cast<int>(cutoffs_.size()); ++hops) {
    for (auto k = offsets_.size() - 1; k < counts_.back(); ++k) {
      auto const begin = neighbors_.size();
      read_list(system, reached_[k], hops);
      for (auto n = begin; n < neighbors_.size(); ++n) reach(neighbors_[n]);
      offsets_.push_back(neighbors_.size());
    }
    counts_.push_back(reached_.size());
  }
}

/// Keeps the near pairs of a particle; with several cutoffs, those within the smallest one first.
void CachedNeighbors::read_list(System const& system, int particle, int hops) {
  auto const particles = static_cast<int>(system.size());
  auto const list = system.neighbors->neighbors(particle);
  auto const begin = source_.size();
  source_.insert(source_.end(), list.begin(), list.end());
  source_ends_.push_back(source_.size());
  auto const given = std::span(source_).subspan(begin);
  double const* const x = system.coordinates.data();
  double const* const xi = x + 3 * std::int64_t{particle};
  double const range = cutoffs_[hops] + margin_;
  squares_.clear();
  for (int const j : given) {
    if (j < 0 || j >= particles)
      throw Error("neighbour " + std::to_string(j) + " of particle " + std::to_string(particle) +
                  " does not exist, expected an index below " + std::to_string(particles));
    double const* const xj = x + 3 * std::int64_t{j};
    double const dx = xj[0] - xi[0];
    double const dy = xj[1] - xi[1];
    double const dz = xj[2] - xi[2];
    double const square = dx * dx + dy * dy + dz * dz;
    if (!uniform_)
      squares_.push_back(square);
    else if (square < range * range)
      neighbors_.push_back(j);
  }
  if (uniform_) return;
  auto const layers = cutoffs_.size();
  ends_.resize(ends_.size() + layers, neighbors_.size());
  auto const ends = std::span(ends_).last(layers);
  double below = 0.0;
  for (auto k = layers; k-- > static_cast<std::size_t>(hops);) {
    double const above = (cutoffs_[k] + margin_) * (cutoffs_[k] + margin_);
    if (above > below)
      for (std::size_t n = 0; n < given.size(); ++n)
        if (squares_[n] >= below && squares_[n] < above) neighbors_.push_back(given[n]);
    ends[k] = neighbors_.size();
    below = above;
  }
  std::ranges::fill(ends.first(static_cast<std::size_t>(hops)), neighbors_.size());
}

}  // namespace torchml
