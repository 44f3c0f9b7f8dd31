// Coupling of two angular momenta.
#pragma once

namespace torchml::descriptor {

/// Largest argument of clebsch_gordan (the largest angular momentum is half of it).
inline constexpr int largest_doubled_momentum = 40;

/// <j1/2, m1/2; j2/2, m2/2 | j/2, m/2>: all arguments are doubled, so that half-integers are whole
/// numbers. Phases of Condon and Shortley. Zero where the momenta cannot couple. To the last digit
/// where long double has more of them than double.
double clebsch_gordan(int j1, int m1, int j2, int m2, int j, int m);

}  // namespace torchml::descriptor
