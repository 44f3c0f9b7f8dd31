// Follows the evaluations of a committee: how much its members differ, and where a run must end.
#pragma once

#include "deviation_file.hpp"
#include "deviations.hpp"
#include "potential.hpp"

namespace torchml::kim {

/// What belongs to one compute-arguments object.
class DeviationWatch {
 public:
  /// Throws Error when the potential is no committee, or as DeviationFile.
  DeviationWatch(Potential const& potential, DeviationSettings const& settings);

  /// Counts an evaluation; records it where its turn has come. Throws Error when a deviation is
  /// above the limit, after it is recorded.
  void follow(System const& system);

 private:
  void require_below_limit(long long evaluation, Deviations const& found,
                           System const& system) const;

  Potential const& potential_;
  DeviationSettings settings_;
  DeviationFile file_;
  DeviationEvaluator evaluator_;
  long long evaluations_ = 0;
};

}  // namespace torchml::kim
