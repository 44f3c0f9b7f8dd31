// Rattled diamond silicon with ghosts and neighbour lists as LAMMPS hands them to a KIM model.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "system.hpp"

namespace benchmark {

constexpr double lattice_constant = 5.431;  // Å
constexpr double cutoff = 4.0;              // Å
constexpr int layers = 3;
constexpr double skin = 2.0;  // Å, LAMMPS' default in metal units

/// `cells`³ unit cells: the contributing atoms come first, then all periodic images of them within
/// layers * cutoff + skin of the box; every particle has a full list out to cutoff + skin.
class Silicon final : public torchml::NeighborSource {
 public:
  explicit Silicon(int cells) {
    add_atoms(cells);
    contributing_.assign(coordinates_.size() / 3, 1);
    add_ghosts(cells * lattice_constant, layers * cutoff + skin);
    contributing_.resize(coordinates_.size() / 3, 0);
    species_.assign(contributing_.size(), 0);
    make_lists(cutoff + skin);
  }

  [[nodiscard]] torchml::System system() const {
    return {species_, coordinates_, contributing_, this};
  }

  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    return std::span(neighbors_)
        .subspan(offsets_[particle], offsets_[particle + 1] - offsets_[particle]);
  }

 private:
  void add_atoms(int cells) {
    constexpr double basis[8][3] = {{0, 0, 0},       {0, .5, .5},     {.5, 0, .5},
                                    {.5, .5, 0},     {.25, .25, .25}, {.25, .75, .75},
                                    {.75, .25, .75}, {.75, .75, .25}};
    std::mt19937 random(2018);
    std::uniform_real_distribution<double> rattle(-0.1, 0.1);
    double const box = cells * lattice_constant;
    for (int a = 0; a < cells; ++a)
      for (int b = 0; b < cells; ++b)
        for (int c = 0; c < cells; ++c)
          for (auto const& site : basis) {
            double const corner[3] = {a + site[0], b + site[1], c + site[2]};
            for (double const x : corner) {
              double const moved = x * lattice_constant + rattle(random);
              coordinates_.push_back(moved - box * std::floor(moved / box));
            }
          }
  }

  void add_ghosts(double box, double reach) {
    auto const atoms = coordinates_.size() / 3;
    int const images = static_cast<int>(std::ceil(reach / box));
    for (int a = -images; a <= images; ++a)
      for (int b = -images; b <= images; ++b)
        for (int c = -images; c <= images; ++c) {
          if (a == 0 && b == 0 && c == 0) continue;
          for (std::size_t i = 0; i < atoms; ++i) {
            double const x = coordinates_[3 * i] + a * box;
            double const y = coordinates_[3 * i + 1] + b * box;
            double const z = coordinates_[3 * i + 2] + c * box;
            if (std::min({x, y, z}) >= -reach && std::max({x, y, z}) < box + reach)
              coordinates_.insert(coordinates_.end(), {x, y, z});
          }
        }
  }

  void make_lists(double length) {
    auto const particles = static_cast<int>(coordinates_.size() / 3);
    auto const [low, high] = std::minmax_element(coordinates_.begin(), coordinates_.end());
    double const origin = *low;
    int const bins = static_cast<int>((*high - origin) / length) + 1;
    auto const bin_of = [&](int i, int axis) {
      return static_cast<int>((coordinates_[3 * i + axis] - origin) / length);
    };
    std::vector<std::vector<int>> members(static_cast<std::size_t>(bins) * bins * bins);
    auto const bin = [&](int a, int b, int c) -> std::vector<int>& {
      return members[(static_cast<std::size_t>(a) * bins + b) * bins + c];
    };
    for (int i = 0; i < particles; ++i) bin(bin_of(i, 0), bin_of(i, 1), bin_of(i, 2)).push_back(i);

    offsets_ = {0};
    for (int i = 0; i < particles; ++i) {
      std::array<int, 3> first{};
      std::array<int, 3> last{};
      for (int axis = 0; axis < 3; ++axis) {
        first[axis] = std::max(0, bin_of(i, axis) - 1);
        last[axis] = std::min(bins - 1, bin_of(i, axis) + 1);
      }
      for (int a = first[0]; a <= last[0]; ++a)
        for (int b = first[1]; b <= last[1]; ++b)
          for (int c = first[2]; c <= last[2]; ++c)
            for (int const j : bin(a, b, c))
              if (j != i && distance(i, j) < length) neighbors_.push_back(j);
      offsets_.push_back(neighbors_.size());
    }
  }

  [[nodiscard]] double distance(int i, int j) const {
    double const* const x = coordinates_.data();
    return std::hypot(x[3 * j] - x[3 * i], x[3 * j + 1] - x[3 * i + 1],
                      x[3 * j + 2] - x[3 * i + 2]);
  }

  std::vector<int> species_;
  std::vector<double> coordinates_;
  std::vector<int> contributing_;
  std::vector<std::size_t> offsets_;
  std::vector<int> neighbors_;
};

}  // namespace benchmark
