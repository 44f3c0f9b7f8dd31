// Verlet lists: neighbour lists cut to what a model can reach, kept while particles move little
// (L. Verlet, Phys. Rev. 159, 98 (1967)).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/list_check.hpp"
#include "system.hpp"

namespace torchml {

/// The simulator's lists of all particles whose neighbours a message-passing model may need,
/// without the pairs that cannot come closer than the cutoff for now. Reading lists, which reach a
/// skin beyond the cutoff and hold ghosts of ghosts, is a good part of preparing a step: lists are
/// read when they change or particles have moved far, and otherwise only compared.
class CachedNeighbors {
 public:
  explicit CachedNeighbors(ListPolicy policy = ListPolicy::as_given) : check_(policy) {}

  /// Reads the lists of `system` again if they need it: of the particles that are k hops away from
  /// the contributing ones, all pairs closer than cutoffs[k] (Å), which do not increase. Returns
  /// whether they were read. Throws Error on a neighbour index outside the system, and on lists
  /// that are not complete.
  bool rebuild(System const& system, std::span<double const> cutoffs);

  /// The same with one cutoff for all layers.
  bool rebuild(System const& system, double cutoff, int layers) {
    return rebuild(system, std::vector<double>(static_cast<std::size_t>(layers), cutoff));
  }

  /// The system without the particles that the simulator excludes: they do not contribute. It is
  /// valid until the next rebuild.
  [[nodiscard]] System present(System system) const {
    system.contributing = present_;
    return system;
  }

  /// The list of a particle that is `listed`, in the simulator's order where all cutoffs are equal,
  /// else those within the smallest cutoff first. Throws Error for another.
  [[nodiscard]] std::span<int const> neighbors(int particle) const;

  /// The part of its list that lies within the cutoff of particles that are `hops` away.
  [[nodiscard]] std::span<int const> neighbors_within(int particle, int hops) const;

  /// By how many hops a `listed` particle is reached. Throws Error for another.
  [[nodiscard]] int hops_to(int particle) const;

  /// Contributing particles first, then by the number of hops; with pairs a little longer than the
  /// cutoff, so that this order stays an upper bound while the lists are kept.
  [[nodiscard]] std::span<int const> reached() const { return reached_; }

  /// reached_within(k) particles are reached in at most k hops, k = 0 .. layers.
  [[nodiscard]] std::size_t reached_within(int hops) const { return counts_[hops]; }

  /// Particles of `reached()` that have a list: those within layers - 1 hops.
  [[nodiscard]] std::size_t listed() const { return offsets_.size() - 1; }

  [[nodiscard]] int layers() const { return static_cast<int>(counts_.size()) - 1; }

 private:
  [[nodiscard]] bool needs_rebuild(System const& system) const;
  [[nodiscard]] std::size_t place_of(int particle) const;
  void read(System const& system);
  void read_list(System const& system, int particle, int hops);
  bool leave_out_excluded(System const& system, double cutoff);

  bool kept_ = false;              ///< the lists are those of the last system
  std::vector<double> cutoffs_;    ///< [layers] Å
  bool uniform_ = true;            ///< they are equal
  double margin_ = 0.0;            ///< Å beyond the cutoffs
  std::vector<int> species_;       ///< [N] as the lists were read
  std::vector<int> contributing_;  ///< [N]
  std::vector<int> present_;       ///< [N] contributing_ without excluded particles
  ListCheck check_;
  std::vector<double> coordinates_;   ///< [3 N] Å
  std::vector<int> reached_;          ///< particles by hops
  std::vector<int> place_;            ///< [N] where a particle stands in reached_, or -1
  std::vector<std::size_t> counts_;   ///< [layers + 1]
  std::vector<std::size_t> offsets_;  ///< [listed + 1] into neighbors_
  std::vector<int> neighbors_;        ///< lists without far pairs
  std::vector<std::size_t>
      ends_;  ///< [listed, layers] of the parts within each cutoff, if not uniform
  std::vector<double> squares_;           ///< scratch: squared distances of a list
  std::vector<std::size_t> source_ends_;  ///< [listed] ends of the lists in source_
  std::vector<int> source_;               ///< the simulator's own lists
};

}  // namespace torchml
