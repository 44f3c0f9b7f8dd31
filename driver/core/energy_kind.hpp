// The form of a model's energy.
#pragma once

#include <string_view>

namespace torchml {

enum class EnergyKind { total, per_contributing, per_particle };

std::string_view to_string(EnergyKind kind);

}  // namespace torchml
