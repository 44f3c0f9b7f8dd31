// Chemical symbols and atomic numbers, hydrogen to oganesson.
#pragma once

#include <optional>
#include <string_view>

namespace torchml {

/// Atomic number of a chemical symbol ("Si" is 14), or nothing if no element has it.
std::optional<int> atomic_number(std::string_view symbol);

}  // namespace torchml
