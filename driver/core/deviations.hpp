// How much the members of a committee differ.
#pragma once

#include <vector>

#include "potential.hpp"
#include "result.hpp"
#include "system.hpp"

namespace torchml {

/// Of each particle the sample standard deviation of the force: the root of
/// sum_k |F_k - mean|^2 / (members - 1), eV/Å; zero for ghosts.
std::vector<double> force_deviations(Members const& members, System const& system);

/// Of the contributing particles of one system.
struct Deviations {
  std::vector<double> energies;  ///< [members] their energy by each member, eV
  std::vector<double> forces;    ///< [N] force_deviations, eV/Å
};

/// Evaluates systems, one after the other, which know nothing of their images or of other ranks.
///
/// A simulator adds the forces on ghosts to those of their atoms; the engine cannot. So the
/// energies of all particles that depend on the contributing ones are computed, ghosts as well.
/// Ghosts and their lists must reach twice the influence distance of the model.
class DeviationEvaluator {
 public:
  /// The potential, a committee, must outlive it.
  explicit DeviationEvaluator(Potential const& potential)
      : potential_(potential), evaluator_(potential, {.folding = false}) {}

  /// Throws Error as Evaluator.
  Deviations evaluate(System const& system);

 private:
  Potential const& potential_;
  Evaluator evaluator_;
  Result result_;
};

}  // namespace torchml
