#include "clebsch_gordan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace torchml::descriptor {
namespace {

std::int64_t binomial(int n, int k) {
  std::int64_t value = 1;
  for (int i = 1; i <= k; ++i) value = value * (n - k + i) / i;
  return value;
}

long double factorial(int n) {
  long double value = 1.0L;
  for (int i = 2; i <= n; ++i) value *= static_cast<long double>(i);
  return value;
}

bool is_projection(int m, int j) {
  return std::abs(m) <= j && (j - m) % 2 == 0;
}

}  // namespace

// Racah's formula with its denominators gathered into binomial coefficients (D. A. Varshalovich et
// al., Quantum Theory of Angular Momentum, section 8.2): the alternating sum is one of integers,
// no larger than 2^(a + b + c) <= 2^60, and therefore exact.
double clebsch_gordan(int j1, int m1, int j2, int m2, int j, int m) {
  if (m1 + m2 != m || (j1 + j2 + j) % 2 != 0 || j < std::abs(j1 - j2) || j > j1 + j2 ||
      !is_projection(m1, j1) || !is_projection(m2, j2) || !is_projection(m, j))
    return 0.0;
  int const a = (j1 + j2 - j) / 2;
  int const b = (j1 - j2 + j) / 2;
  int const c = (j2 - j1 + j) / 2;
  int const down = (j1 - m1) / 2;
  int const up = (j2 + m2) / 2;
  std::int64_t sum = 0;
  for (int k = std::max({0, down - b, up - c}); k <= std::min({a, down, up}); ++k) {
    auto const term = binomial(a, k) * binomial(b, down - k) * binomial(c, up - k);
    sum += k % 2 == 0 ? term : -term;
  }
  long double square = static_cast<long double>(j + 1) / factorial(a + b + c + 1);
  square *= factorial(down) * factorial(j1 - down) / factorial(a);
  square *= factorial(up) * factorial(j2 - up) / factorial(b);
  square *= factorial((j + m) / 2) * factorial((j - m) / 2) / factorial(c);
  return static_cast<double>(static_cast<long double>(sum) * std::sqrt(square));
}

}  // namespace torchml::descriptor
