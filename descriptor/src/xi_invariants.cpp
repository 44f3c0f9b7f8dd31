#include "xi_invariants.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <numbers>
#include <tuple>

#include "clebsch_gordan.hpp"

namespace torchml::descriptor {
namespace {

/// c_m = sum_mu T c_mu from real harmonics mu to complex ones with the phase of Condon and
/// Shortley: Y_m = (-1)^m (R_m + i R_-m) / sqrt 2 and Y_-m = (R_m - i R_-m) / sqrt 2 for m > 0.
std::complex<double> from_real(int m, int mu) {
  if (std::abs(m) != std::abs(mu)) return 0.0;
  if (m == 0) return 1.0;
  double const size = (m > 0 && m % 2 != 0 ? -1.0 : 1.0) / std::numbers::sqrt2;
  if (mu > 0) return size;
  return {0.0, m > 0 ? size : -size};
}

/// Weight of the product of three real coefficients in an invariant. The imaginary parts cancel
/// because l0 + l1 + l2 is even.
double real_coupling(std::array<int, 3> const& l, int mu0, int mu1, int mu2) {
  std::complex<double> sum = 0.0;
  for (int const m0 : {-mu0, mu0}) {
    for (int const m1 : {-mu1, mu1}) {
      int const m2 = m0 - m1;
      if (std::abs(m2) == std::abs(mu2))
        sum += clebsch_gordan(2 * l[1], 2 * m1, 2 * l[2], 2 * m2, 2 * l[0], 2 * m0) *
               std::conj(from_real(m0, mu0)) * from_real(m1, mu1) * from_real(m2, mu2);
      if (mu1 == 0) break;
    }
    if (mu0 == 0) break;
  }
  return (l[0] % 2 == 0 ? 1.0 : -1.0) / std::sqrt(2.0 * l[0] + 1.0) * sum.real();
}

/// Appends the rows mu0 = -l0, ..., l0 of one coupling, and returns where they begin.
int append_rows(std::array<int, 3> const& l, XiInvariants& to) {
  auto const begin = static_cast<int>(to.rows.size());
  constexpr double rounding = 1e-13;
  for (int mu0 = -l[0]; mu0 <= l[0]; ++mu0) {
    to.rows.push_back(static_cast<int>(to.terms.size()));
    for (int mu1 = -l[1]; mu1 <= l[1]; ++mu1)
      for (int mu2 = -l[2]; mu2 <= l[2]; ++mu2)
        if (double const weight = real_coupling(l, mu0, mu1, mu2); std::abs(weight) > rounding)
          to.terms.push_back({weight, mu1 + l[1], mu2 + l[2]});
  }
  to.rows.push_back(static_cast<int>(to.terms.size()));
  return begin;
}

}  // namespace

std::vector<XiIndex> xi_indices(int q) {
  std::vector<XiIndex> all;
  for (int level = 0; level <= q; ++level)
    for (int n = 0; n <= level; ++n)
      for (int n0 = n; n0 >= 0; --n0)
        for (int n1 = std::min(n0, n - n0); 2 * n1 >= n - n0; --n1) {
          int const n2 = n - n0 - n1;
          int const l = 2 * (level - n);
          for (int l0 = l / 2; l0 >= 0; --l0)
            for (int l1 = std::min(l / 2, l - l0); l1 >= 0; --l1) {
              int const l2 = l - l0 - l1;
              if (2 * l2 > l || (n0 == n1 && l0 < l1) || (n1 == n2 && l1 < l2)) continue;
              all.push_back({{n0, n1, n2}, {l0, l1, l2}});
            }
        }
  return all;
}

int xi_coefficient(int q, int n, int l) {
  int begin = n * (2 * l + 1);
  for (int lower = 0; lower < l; ++lower) begin += (q - lower + 1) * (2 * lower + 1);
  return begin;
}

XiInvariants xi_invariants(int q) {
  // Groups share l0, l1, l2, n1 and n2, and so the coupling of the last two factors.
  using Key = std::tuple<std::array<int, 3>, int, int>;
  std::map<Key, std::vector<XiMember>> groups;
  auto const indices = xi_indices(q);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    auto const& [n, l] = indices[i];
    groups[{l, n[1], n[2]}].push_back({xi_coefficient(q, n[0], l[0]), static_cast<int>(i)});
  }
  XiInvariants invariants;
  std::map<std::array<int, 3>, int> rows;
  for (auto const& [key, members] : groups) {
    auto const& [l, n1, n2] = key;
    auto const [known, missing] = rows.try_emplace(l, 0);
    if (missing) known->second = append_rows(l, invariants);
    auto const first = static_cast<int>(invariants.members.size());
    invariants.members.insert(invariants.members.end(), members.begin(), members.end());
    invariants.groups.push_back({2 * l[0] + 1, known->second, xi_coefficient(q, n1, l[1]),
                                 xi_coefficient(q, n2, l[2]), first,
                                 static_cast<int>(invariants.members.size())});
  }
  return invariants;
}

}  // namespace torchml::descriptor
