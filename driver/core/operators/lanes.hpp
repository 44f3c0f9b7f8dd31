// Vectors of numbers of either element type, for kernels whose lanes are channels.
#pragma once

#include <cstdint>

#ifndef TORCHML_SIMD
#error "TORCHML_SIMD names the namespace of the instruction set, see dispatch.hpp"
#endif
// Nothing of a kernel may stay behind as a function that other files share.
#ifndef TORCHML_INLINE
#define TORCHML_INLINE [[gnu::always_inline]] inline
#endif

namespace torchml::operators::TORCHML_SIMD {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class Real, int n>
struct VectorOf {
  using type [[gnu::vector_size(n * sizeof(Real))]] = Real;
};
template <class Real>
inline constexpr int lanes = kVectorBytes / sizeof(Real);
template <class Real>
using Lanes = typename VectorOf<Real, lanes<Real>>::type;

template <class Real>
TORCHML_INLINE Lanes<Real> load(Real const* p) {
  Lanes<Real> v;
  __builtin_memcpy(&v, p, kVectorBytes);
  return v;
}
template <class Real>
TORCHML_INLINE void store(Lanes<Real> v, Real* p) {
  __builtin_memcpy(p, &v, kVectorBytes);
}

/// The first `count` numbers, and zeros.
template <class Real>
TORCHML_INLINE Lanes<Real> load(Real const* p, std::int64_t count) {
  if (count == lanes<Real>) return load(p);
  Real numbers[lanes<Real>] = {};
  for (std::int64_t l = 0; l < count; ++l) numbers[l] = p[l];
  return load(numbers);
}
template <class Real>
TORCHML_INLINE void store(Lanes<Real> v, Real* p, std::int64_t count) {
  if (count == lanes<Real>) return store(v, p);
  Real numbers[lanes<Real>];
  store(v, numbers);
  for (std::int64_t l = 0; l < count; ++l) p[l] = numbers[l];
}

/// The sum of n lanes: half of them to the other half, and so on.
template <class Real, int n = lanes<Real>>
TORCHML_INLINE Real sum_of_lanes(typename VectorOf<Real, n>::type v) {
  if constexpr (n == 2) {
    return v[0] + v[1];
  } else {
    using Half = typename VectorOf<Real, n / 2>::type;
    Half halves[2];
    __builtin_memcpy(halves, &v, sizeof(v));
    return sum_of_lanes<Real, n / 2>(halves[0] + halves[1]);
  }
}

template <int index>
struct Index {
  TORCHML_INLINE constexpr operator int() const { return index; }
};

/// f(0), f(1) ... f(n - 1) with constants: what they index stays in registers.
template <int n, int k = 0, class F>
TORCHML_INLINE void each(F const& f) {
  f(Index<k>{});
  if constexpr (k + 1 < n) each<n, k + 1>(f);
}

}  // namespace torchml::operators::TORCHML_SIMD
