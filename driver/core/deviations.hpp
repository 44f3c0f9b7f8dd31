// How much the members of a committee differ.
#pragma once

#include <vector>

#include "result.hpp"
#include "system.hpp"

namespace torchml {

/// Of each particle the sample standard deviation of the force: the root of
/// sum_k |F_k - mean|^2 / (members - 1), eV/Å; zero for ghosts.
std::vector<double> force_deviations(Members const& members, System const& system);

}  // namespace torchml
