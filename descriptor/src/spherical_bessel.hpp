// Spherical Bessel functions of the first kind, for tables made once.
#pragma once

#include <vector>

namespace torchml::descriptor {

/// j_0(x), ..., j_l_max(x) for x >= 0, each as accurate near its own size as long double allows
/// (but next to zeros): Miller's backward recurrence, https://dlmf.nist.gov/10.51 and 3.6(iii).
std::vector<long double> spherical_bessel(int l_max, long double x);

/// [l][k] the zeros u_l0 < u_l1 < ... of j_l(x) at x > 0, for l = 0..l_max; there are
/// count + l_max - l of them.
std::vector<std::vector<long double>> spherical_bessel_zeros(int l_max, int count);

}  // namespace torchml::descriptor
