// The inner loops of Xi, one centre per lane.
#pragma once

#include <cstddef>

#include "radial_table.hpp"
#include "torchml/common/simd/dispatch.hpp"
#include "torchml/descriptor/environment.hpp"
#include "torchml/descriptor/scratch.hpp"

namespace torchml::descriptor {

/// weight * c1[first] * c2[second], where c1 and c2 are the coefficients of (n1, l1) and (n2, l2).
struct XiTerm {
  double weight;
  int first;
  int second;
};

/// Invariants sum_m c0[m] z[m] that differ by n0 alone, where z[m] sums the terms of row m.
struct XiGroup {
  int size;          ///< 2 l0 + 1
  int row;           ///< rows[row + m] to rows[row + m + 1] are the terms of m
  int first;         ///< where c1 begins
  int second;        ///< where c2 begins
  int member_begin;  ///< invariants of the group
  int member_end;
};

struct XiMember {
  int coefficient;  ///< where c0 begins
  int output;       ///< position of the invariant
};

/// All that does not depend on atoms; nothing is owned. Coefficients c and radial functions are
/// sorted by l, then n = 0..q - l; the 2 l + 1 of (n, l) lie together.
struct XiTables {
  int q;
  double cutoff;  ///< Å
  RadialPieces radial;
  double const* harmonics;  ///< harmonics_table(q)
  std::size_t coefficients;
  std::size_t width;
  XiTerm const* terms;
  int const* rows;
  XiGroup const* groups;
  std::size_t group_count;
  XiMember const* members;
};

/// As Descriptor::values and Descriptor::gradient, for `count` centres.
struct XiKernel {
  void (*values)(XiTables const& tables, Environment const* centers, std::size_t count,
                 Scratch& scratch, double* values);
  void (*gradient)(XiTables const& tables, Environment const* centers, std::size_t count,
                   Scratch& scratch, double const* cotangent, EnvironmentGradient const* gradients);
};

TORCHML_KERNEL(XiKernel, xi_kernel)

}  // namespace torchml::descriptor
