// Periodic systems as simulators hand them over: atoms, ghosts around them, neighbour lists.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "system.hpp"

namespace torchml::test {

using Vector = std::array<double, 3>;

/// Atoms in a box, with their periodic images, of which the first `atoms` in the order contribute
/// unless flags are changed. Everything is public: tests do to it what simulators would not.
struct PeriodicSystem : NeighborSource {
  std::array<Vector, 3> box{};  ///< rows are lattice vectors, Å
  std::array<bool, 3> periodic{true, true, true};
  std::vector<double> atoms;              ///< [3 n] Å
  std::vector<int> atom_species;          ///< [n]
  std::vector<int> image_of;              ///< [N] the atom of each particle
  std::vector<std::array<int, 3>> cells;  ///< [N] and the cell it is in
  std::vector<double> coordinates;        ///< [3 N]
  std::vector<int> species;               ///< [N]
  std::vector<int> contributing;          ///< [N]
  std::vector<std::size_t> starts;        ///< of the lists
  std::vector<int> lists;

  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    return std::span(lists).subspan(starts[particle], starts[particle + 1] - starts[particle]);
  }
  [[nodiscard]] System view() const { return {species, coordinates, contributing, this}; }
  [[nodiscard]] System view_with_owners() const {
    return {species, coordinates, contributing, this, image_of};
  }

  /// Chooses the ghosts within `reach` of the box and makes the lists out to `range` (Å).
  void surround(double reach, double range) {
    auto const count = static_cast<int>(atom_species.size());
    image_of.clear();
    cells.clear();
    std::array<int, 3> most{};
    for (int axis = 0; axis < 3; ++axis)
      most[axis] =
          periodic[axis] ? static_cast<int>(std::ceil((reach + 1.0) / box[axis][axis])) : 0;
    for (int i = 0; i < count; ++i) {
      image_of.push_back(i);
      cells.push_back({0, 0, 0});
    }
    for (int a = -most[0]; a <= most[0]; ++a)
      for (int b = -most[1]; b <= most[1]; ++b)
        for (int c = -most[2]; c <= most[2]; ++c)
          for (int i = 0; i < count; ++i) {
            if (a == 0 && b == 0 && c == 0) continue;
            std::array<int, 3> const cell{a, b, c};
            bool near = true;
            for (int axis = 0; axis < 3; ++axis) {
              double const x = atoms[3 * i + axis] + cell[axis] * box[axis][axis];
              near = near && (!periodic[axis] || (x >= -reach && x < box[axis][axis] + reach));
            }
            if (!near) continue;
            image_of.push_back(i);
            cells.push_back(cell);
          }
    contributing.assign(image_of.size(), 0);
    std::fill_n(contributing.begin(), count, 1);
    species.clear();
    for (int const i : image_of) species.push_back(atom_species[i]);
    place();
    list(range);
  }

  /// Coordinates of atoms and ghosts from those of the atoms, as LAMMPS shifts them.
  void place() {
    coordinates.resize(3 * image_of.size());
    for (std::size_t p = 0; p < image_of.size(); ++p)
      for (int axis = 0; axis < 3; ++axis) {
        double x = atoms[3 * image_of[p] + axis];
        for (int k = 0; k < 3; ++k) x += cells[p][k] * box[k][axis];
        coordinates[3 * p + axis] = x;
      }
  }

  /// Full lists of all particles.
  void list(double range) {
    auto const count = static_cast<int>(image_of.size());
    starts.assign(1, 0);
    lists.clear();
    double low = 0.0;
    double high = 0.0;
    for (double const x : coordinates) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
    auto const bins = static_cast<int>((high - low) / range) + 1;
    auto const bin = [&](int p, int axis) {
      return static_cast<int>((coordinates[3 * p + axis] - low) / range);
    };
    std::vector<std::vector<int>> members(static_cast<std::size_t>(bins) * bins * bins);
    for (int p = 0; p < count; ++p)
      members[(bin(p, 0) * bins + bin(p, 1)) * bins + bin(p, 2)].push_back(p);
    for (int p = 0; p < count; ++p) {
      for (int a = std::max(0, bin(p, 0) - 1); a <= std::min(bins - 1, bin(p, 0) + 1); ++a)
        for (int b = std::max(0, bin(p, 1) - 1); b <= std::min(bins - 1, bin(p, 1) + 1); ++b)
          for (int c = std::max(0, bin(p, 2) - 1); c <= std::min(bins - 1, bin(p, 2) + 1); ++c)
            for (int const q : members[(a * bins + b) * bins + c]) {
              if (q == p) continue;
              double squared = 0.0;
              for (int axis = 0; axis < 3; ++axis) {
                double const d = coordinates[3 * p + axis] - coordinates[3 * q + axis];
                squared += d * d;
              }
              if (squared < range * range) lists.push_back(q);
            }
      starts.push_back(lists.size());
    }
  }

  /// Moves every atom, and its images with it, by up to `length` Å along each axis.
  void move(double length, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> step(-length, length);
    for (double& x : atoms) x += step(random);
    place();
  }

  /// As where owners are known: without the lists of ghosts.
  void forget_lists_of_ghosts() {
    lists.resize(starts[atom_species.size()]);
    std::fill(starts.begin() + static_cast<std::ptrdiff_t>(atom_species.size()), starts.end(),
              lists.size());
  }

  /// Sums of per-particle vectors over the images of each atom: [width N] -> [width n].
  [[nodiscard]] std::vector<double> reduced(std::vector<double> const& values,
                                            std::size_t width = 3) const {
    std::vector<double> sums(width * atom_species.size(), 0.0);
    for (std::size_t p = 0; p < image_of.size(); ++p)
      for (std::size_t c = 0; c < width; ++c)
        sums[width * image_of[p] + c] += values[width * p + c];
    return sums;
  }
};

/// `cells`^3 cubes of diamond, 5.4 Å, of two species in turn, displaced by up to `rattle` Å.
inline PeriodicSystem diamond(int cells, double rattle) {
  constexpr double basis[8][3] = {{0, 0, 0},       {0, .5, .5},     {.5, 0, .5},
                                  {.5, .5, 0},     {.25, .25, .25}, {.25, .75, .75},
                                  {.75, .25, .75}, {.75, .75, .25}};
  constexpr double a = 5.4;
  PeriodicSystem system;
  for (int axis = 0; axis < 3; ++axis) system.box[axis][axis] = cells * a;
  for (int i = 0; i < cells; ++i)
    for (int j = 0; j < cells; ++j)
      for (int k = 0; k < cells; ++k)
        for (int site = 0; site < 8; ++site) {
          system.atoms.push_back(a * (i + basis[site][0]));
          system.atoms.push_back(a * (j + basis[site][1]));
          system.atoms.push_back(a * (k + basis[site][2]));
          system.atom_species.push_back(site / 4);
        }
  system.move(rattle, 2018);
  return system;
}

}  // namespace torchml::test
