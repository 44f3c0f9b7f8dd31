// One evaluation: KIM's arrays in, KIM's arrays out.
#pragma once

#include <optional>
#include <vector>

#include "deviation_watch.hpp"
#include "kim_model.hpp"

namespace torchml::kim {

/// What belongs to one compute-arguments object: the state of its evaluations.
class Computation {
 public:
  explicit Computation(Model const& model) : evaluator_(model.potential) {
    if (model.deviations) watch_.emplace(model.potential, *model.deviations);
  }

  /// Evaluates what `arguments` request. Throws torchml::Error; then no requested output keeps a
  /// value of an earlier step: all are NaN.
  void compute(Model const& model, KIM::ModelComputeArguments const& arguments);

 private:
  Evaluator evaluator_;
  std::optional<DeviationWatch> watch_;
  Result result_;
  std::vector<double> coordinates_;
};

}  // namespace torchml::kim
