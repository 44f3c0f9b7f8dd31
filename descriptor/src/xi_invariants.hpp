// Which third-order invariants Xi consists of, and how real coefficients couple to them.
#pragma once

#include <array>
#include <vector>

#include "xi_kernel.hpp"

namespace torchml::descriptor {

/// One invariant: degrees of three radial functions and of three spherical harmonics.
struct XiIndex {
  std::array<int, 3> n;
  std::array<int, 3> l;
};

/// The invariants up to level n0 + n1 + n2 + (l0 + l1 + l2)/2 = q in the order of the output: one
/// of each set that differs by the order of its three factors alone.
std::vector<XiIndex> xi_indices(int q);

/// Where the coefficients of (n, l) begin, m = -l, ..., l each: l ascending, n = 0..q - l.
int xi_coefficient(int q, int n, int l);

/// The invariants sorted by what they share.
struct XiInvariants {
  std::vector<XiTerm> terms;
  std::vector<int> rows;
  std::vector<XiGroup> groups;
  std::vector<XiMember> members;
};

/// For the invariants
///   (-1)^l0 / sqrt(2 l0 + 1) sum_{m0 m1 m2} <l1 m1 l2 m2 | l0 m0> Re(c*_{l0 m0} c_{l1 m1} c_{l2
///   m2})
/// in terms of coefficients of real harmonics.
XiInvariants xi_invariants(int q);

}  // namespace torchml::descriptor
