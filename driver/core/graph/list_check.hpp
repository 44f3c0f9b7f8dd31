// Neighbour lists from which a simulator left pairs out.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "graph/position_index.hpp"
#include "host/list_policy.hpp"
#include "system.hpp"

namespace torchml {

/// Compares the lists of the contributing particles with the particles within the cutoff.
///
/// Models of many bodies need all of them, but simulators can leave pairs out: pairs with a bond
/// (special_bonds of LAMMPS, 0 by default) and excluded groups (neigh_modify exclude, fix gcmc).
class ListCheck {
 public:
  explicit ListCheck(ListPolicy policy) : policy_(policy) {}

  /// The contributing particles that are excluded, which the policy has to permit. `particles` are
  /// all contributing ones, and list k is lists[ends[k - 1]] to lists[ends[k]]. Cutoff in Å.
  /// Throws Error, which names a particle and the cures, where a list is not complete.
  std::span<int const> excluded(System const& system, std::span<int const> particles,
                                std::span<std::size_t const> ends, std::span<int const> lists,
                                double cutoff);

 private:
  void find_near(System const& system, int particle, double range);
  [[nodiscard]] bool is_near_present(System const& system) const;
  [[nodiscard]] bool is_excluded(System const& system, int particle, std::span<int const> list,
                                 double range) const;
  void find_excluded(System const& system, std::span<int const> particles,
                     std::span<std::size_t const> ends, std::span<int const> lists, double range);

  ListPolicy policy_;
  PositionIndex index_;
  std::vector<int> all_;         ///< [N] 0, 1, ..
  std::vector<int> near_;        ///< particles within the cutoff of one
  std::vector<int> lists_with_;  ///< [N] number of lists that contain the particle
  std::vector<int> excluded_;
};

}  // namespace torchml
