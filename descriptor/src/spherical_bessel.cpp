#include "spherical_bessel.hpp"

#include <cmath>
#include <numbers>

namespace torchml::descriptor {
namespace {

using std::numbers::pi_v;

/// The zero of j_l between two of j_{l-1}, which lie around it.
long double zero_between(int l, long double low, long double high) {
  auto const value = [l](long double x) {
    return spherical_bessel(l, x)[static_cast<std::size_t>(l)];
  };
  bool const negative_at_low = value(low) < 0.0L;
  for (;;) {
    long double const middle = low + (high - low) / 2.0L;
    if (middle <= low || middle >= high) return middle;
    (value(middle) < 0.0L) == negative_at_low ? low = middle : high = middle;
  }
}

}  // namespace

std::vector<long double> spherical_bessel(int l_max, long double x) {
  std::vector<long double> j(static_cast<std::size_t>(l_max) + 1, 0.0L);
  if (x == 0.0L) {
    j[0] = 1.0L;
    return j;
  }
  // j_{l-1} = (2l + 1)/x j_l - j_{l+1}. Far beyond l = x any start leads to the solution that does
  // not grow with l; its size follows from j_0 or j_1.
  constexpr int far = 60;
  constexpr long double large = 1e300L;
  long double above = 0.0L;
  long double here = 1.0L;
  for (int l = l_max + static_cast<int>(x) + far; l > 0; --l) {
    long double const below = static_cast<long double>(2 * l + 1) / x * here - above;
    above = here;
    here = below;
    if (l - 1 <= l_max) j[static_cast<std::size_t>(l) - 1] = here;
    if (std::abs(here) > large) {
      above /= large;
      here /= large;
      for (auto& value : j) value /= large;
    }
  }
  long double const j0 = std::sin(x) / x;
  long double const j1 = (j0 - std::cos(x)) / x;  // used where the difference is not small
  long double const scale = std::abs(here) > std::abs(above) ? j0 / here : j1 / above;
  for (auto& value : j) value *= scale;
  return j;
}

std::vector<std::vector<long double>> spherical_bessel_zeros(int l_max, int count) {
  std::vector<std::vector<long double>> zeros(static_cast<std::size_t>(l_max) + 1);
  for (int k = 1; k <= count + l_max; ++k)
    zeros[0].push_back(static_cast<long double>(k) * pi_v<long double>);
  for (int l = 1; l <= l_max; ++l) {
    auto const& around = zeros[static_cast<std::size_t>(l) - 1];
    auto& own = zeros[static_cast<std::size_t>(l)];
    for (std::size_t k = 0; k + 1 < around.size(); ++k)
      own.push_back(zero_between(l, around[k], around[k + 1]));
  }
  return zeros;
}

}  // namespace torchml::descriptor
