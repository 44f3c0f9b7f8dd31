// Coefficients of the recursions in simd/harmonics.hpp.
#pragma once

#include <vector>

namespace torchml::descriptor {

/// For each m = 0..l_max the start of its column, then three numbers for each l = m..l_max (see
/// simd/harmonics.hpp, which is the only reader).
std::vector<double> harmonics_table(int l_max);

}  // namespace torchml::descriptor
