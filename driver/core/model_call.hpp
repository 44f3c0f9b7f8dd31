// One call of a model: its energy in any of the forms, and the derivatives.
#pragma once

#include "energy_kind.hpp"
#include "inputs/inputs.hpp"
#include "model/model.hpp"

namespace torchml {

/// Builds the inputs, calls forward, and adds what is requested to a cleared `result`;
/// differentiates only if a derivative is requested that the model does not return itself. Returns
/// the form of the energy. Throws Error when the model fails or returns something of a wrong shape
/// or type.
EnergyKind call_model(Model const& model, InputBuilder& builder, bool returns_derivative,
                      System const& system, Request const& request, Result& result);

}  // namespace torchml
