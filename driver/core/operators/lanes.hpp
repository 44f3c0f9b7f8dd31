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

template <class Real>
struct LanesOf;
template <>
struct LanesOf<double> {
  using type [[gnu::vector_size(kVectorBytes)]] = double;
};
template <>
struct LanesOf<float> {
  using type [[gnu::vector_size(kVectorBytes)]] = float;
};
template <class Real>
using Lanes = typename LanesOf<Real>::type;
template <class Real>
inline constexpr int lanes = kVectorBytes / sizeof(Real);

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
