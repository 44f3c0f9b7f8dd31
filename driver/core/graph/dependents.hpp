// The particles whose energies depend on the contributing ones.
#pragma once

#include <span>
#include <vector>

#include "system.hpp"

namespace torchml {

/// [N] 1 for contributing particles and for ghosts whose energy of the model depends on one of
/// them, 0 for the others. The energies of all of these give the whole forces on the contributing
/// particles; a simulator otherwise adds up what ranks, or images, compute of them.
///
/// Args: `cutoffs` (Å) of the edges into the particles 0, 1, .. hops away, as in ModelSpec. Ghosts
/// and their lists must reach twice the sum of the cutoffs, so that the surroundings of all are
/// complete.
std::vector<int> with_dependents(System const& system, std::span<double const> cutoffs);

}  // namespace torchml
