// Vectors of doubles for kernels: as many lanes as the instruction set has. Kernels use the
// operators and the functions below and nothing else, so that the same text also compiles to
// scalars where the compiler has no <experimental/simd>, or where TORCHML_SIMD_SCALAR is
// defined.
#pragma once

// <experimental/simd> as libstdc++ has it (GCC 11 or newer); libc++'s lacks half of it, and what
// Clang makes of libstdc++'s is wrong (Clang 14: right shifts, and selections with AVX-512).
#if !defined(TORCHML_SIMD_SCALAR) && __has_include(<bits/c++config.h>) && \
    __has_include(<experimental/simd>) && !defined(__clang__)
// GCC 12 takes the results of intrinsics that it leaves undefined for variables of ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <experimental/simd>
#pragma GCC diagnostic pop
#define TORCHML_HAS_SIMD 1
#else
#define TORCHML_HAS_SIMD 0
#endif
#include <cstddef>

#ifndef TORCHML_SIMD
#error "TORCHML_SIMD names the namespace of the instruction set, see dispatch.hpp"
#endif
// Nothing of a kernel may stay behind as a function that other files share.
#define TORCHML_INLINE [[gnu::always_inline]] inline

namespace torchml::simd::TORCHML_SIMD {

#if TORCHML_HAS_SIMD

namespace stdx = std::experimental;
using Vector = stdx::native_simd<double>;
using Mask = Vector::mask_type;
inline constexpr std::size_t lanes = Vector::size();

TORCHML_INLINE Vector load(double const* p) {
  return Vector(p, stdx::element_aligned);
}
TORCHML_INLINE void store(Vector v, double* p) {
  v.copy_to(p, stdx::element_aligned);
}

/// p[index[0]], p[index[1]], ...
TORCHML_INLINE Vector gather(double const* p, int const* index) {
  return Vector([=](auto lane) { return p[index[lane]]; });
}

/// 0, 1, 2, ...
TORCHML_INLINE Vector lane_numbers() {
  return Vector([](auto lane) { return static_cast<double>(lane); });
}

TORCHML_INLINE Vector select(Mask mask, Vector yes, Vector no) {
  stdx::where(mask, no) = yes;
  return no;
}
TORCHML_INLINE bool any(Mask mask) {
  return stdx::any_of(mask);
}
TORCHML_INLINE bool all(Mask mask) {
  return stdx::all_of(mask);
}
TORCHML_INLINE double sum(Vector v) {
  return stdx::reduce(v);
}
TORCHML_INLINE Vector sqrt(Vector v) {
  return stdx::sqrt(v);
}
TORCHML_INLINE Vector abs(Vector v) {
  return stdx::abs(v);
}
TORCHML_INLINE Vector min(Vector a, Vector b) {
  return stdx::min(a, b);
}
TORCHML_INLINE Vector max(Vector a, Vector b) {
  return stdx::max(a, b);
}

/// Reinterprets the bits of lanes.
using Bits = stdx::rebind_simd_t<long long, Vector>;
TORCHML_INLINE Bits bits(Vector v) {
  return __builtin_bit_cast(Bits, v);
}
TORCHML_INLINE Vector from_bits(Bits b) {
  return __builtin_bit_cast(Vector, b);
}

#else

using Vector = double;
using Mask = bool;
inline constexpr std::size_t lanes = 1;

TORCHML_INLINE Vector load(double const* p) {
  return *p;
}
TORCHML_INLINE void store(Vector v, double* p) {
  *p = v;
}
TORCHML_INLINE Vector gather(double const* p, int const* index) {
  return p[*index];
}
TORCHML_INLINE Vector lane_numbers() {
  return 0.0;
}
TORCHML_INLINE Vector select(Mask mask, Vector yes, Vector no) {
  return mask ? yes : no;
}
TORCHML_INLINE bool any(Mask mask) {
  return mask;
}
TORCHML_INLINE bool all(Mask mask) {
  return mask;
}
TORCHML_INLINE double sum(Vector v) {
  return v;
}
TORCHML_INLINE Vector sqrt(Vector v) {
  return __builtin_sqrt(v);
}
TORCHML_INLINE Vector abs(Vector v) {
  return __builtin_fabs(v);
}
TORCHML_INLINE Vector min(Vector a, Vector b) {
  return b < a ? b : a;
}
TORCHML_INLINE Vector max(Vector a, Vector b) {
  return a < b ? b : a;
}
using Bits = long long;
TORCHML_INLINE Bits bits(Vector v) {
  return __builtin_bit_cast(Bits, v);
}
TORCHML_INLINE Vector from_bits(Bits b) {
  return __builtin_bit_cast(Vector, b);
}

#endif

}  // namespace torchml::simd::TORCHML_SIMD
