// Follows the evaluations of a committee: how much its members differ, and where a run must end.
#pragma once

#include <optional>
#include <vector>

#include "deviation_file.hpp"
#include "potential.hpp"

namespace torchml::kim {

/// What belongs to one compute-arguments object.
///
/// A simulator adds the forces on ghosts to those of their atoms, on other ranks or as images; a
/// driver cannot. So the energies of all particles that depend on the atoms of this rank are
/// computed here, with ghosts out to twice the influence distance.
class DeviationWatch {
 public:
  /// Throws Error when the potential is no committee, or as DeviationFile.
  DeviationWatch(Potential const& potential, DeviationSettings const& settings);

  /// Counts an evaluation; records it where its turn has come. Throws Error when a deviation is
  /// above the limit, after it is recorded.
  void follow(System const& system);

 private:
  void require_below_limit(DeviationRecord const& record, System const& system) const;

  Potential const& potential_;
  DeviationSettings settings_;
  DeviationFile file_;
  Evaluator evaluator_;
  Result result_;
  long long evaluations_ = 0;
};

}  // namespace torchml::kim
