// Creating the model and registering it with KIM-API.
#pragma once

#include <memory>

#include "kim_model.hpp"

namespace torchml::kim {

/// Opens the model that the parameter files describe. Throws torchml::Error.
std::unique_ptr<Model> create_model(KIM::ModelDriverCreate const& create, KIM::LengthUnit length,
                                    KIM::EnergyUnit energy);

/// Registers units, species, distances and neighbour-list needs. The model must outlive `create`.
void register_model(KIM::ModelDriverCreate& create, Model const& model);

/// Registers which outputs can be requested; all are optional.
void register_arguments(KIM::ModelComputeArgumentsCreate& create, Model const& model);

}  // namespace torchml::kim
