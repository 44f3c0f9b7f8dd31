// Elementary functions of vectors, to about one unit in the last place in the ranges stated.
#pragma once

#include "torchml/common/simd/vectors.hpp"

namespace torchml::simd::TORCHML_SIMD {

/// Nearest integer to v (|v| < 2^51), as a double and in the low bits of its representation.
struct Rounded {
  Vector value;
  Bits integer;
};

TORCHML_INLINE Rounded round(Vector v) {
  Vector const shift = 6755399441055744.0;  // 1.5 * 2^52: the spacing of doubles there is 1
  Vector const shifted = v + shift;
  return {shifted - shift, bits(shifted)};
}

constexpr double factorial(int n) {
  return n < 2 ? 1.0 : n * factorial(n - 1);
}

/// sum over k = 0 .. terms - 1 of sign^k u^k / (step k + offset)!
template <int terms, int step, int offset, int sign, int k = 0>
TORCHML_INLINE Vector taylor(Vector u) {
  constexpr double coefficient = (k % 2 == 1 ? sign : 1) / factorial(step * k + offset);
  if constexpr (k + 1 == terms)
    return coefficient;
  else
    return taylor<terms, step, offset, sign, k + 1>(u) * u + coefficient;
}

/// cos(x) and sin(x)/x as series in u = x^2.
template <int terms>
TORCHML_INLINE Vector cos_series(Vector u) {
  return taylor<terms, 2, 0, -1>(u);
}
template <int terms>
TORCHML_INLINE Vector sinc_series(Vector u) {
  return taylor<terms, 2, 1, -1>(u);
}

/// exp(v) for v <= 709; zero below -708.
TORCHML_INLINE Vector exp(Vector v) {
  Vector const clamped = max(v, Vector(-708.0));
  // v = n ln 2 + t, |t| <= ln 2 / 2; ln 2 in two parts, the first with zeros at its end.
  auto const n = round(clamped * 1.4426950408889634);
  Vector const t =
      (clamped - n.value * 0.693147180369123816490) - n.value * 1.90821492927058770002e-10;
  // The first term left out is t^14/14! < 5e-18.
  Vector const p = taylor<12, 1, 2, 1>(t) * (t * t) + t + 1.0;
  Vector const power = from_bits((n.integer << 52) + bits(Vector(1.0)));  // 2^n
  return select(v < Vector(-708.0), Vector(0.0), p * power);
}

/// log(v) for positive normal numbers.
TORCHML_INLINE Vector log(Vector v) {
  // v = 2^n m, sqrt(1/2) <= m < sqrt(2): the bits of sqrt(1/2) are subtracted from those of v, and
  // what is left above the mantissa is n. An offset keeps it positive while it becomes a double.
  Bits const shifted = bits(v) - bits(Vector(0.7071067811865476)) + (1024LL << 52);
  Vector const shift = 4503599627370496.0;  // 2^52
  Vector const n = from_bits((shifted >> 52) + bits(shift)) - (shift + 1024.0);
  Bits const mantissa = shifted & ((1LL << 52) - 1);
  Vector const f = from_bits(mantissa + bits(Vector(0.7071067811865476))) - 1.0;
  // log(1 + f) = 2 artanh(s), s = f/(2 + f), |s| < 0.172: the first term left out is below 1e-18.
  Vector const s = f / (2.0 + f);
  Vector const u = s * s;
  Vector p = 2.0 / 21.0;
  p = p * u + 2.0 / 19.0;
  p = p * u + 2.0 / 17.0;
  p = p * u + 2.0 / 15.0;
  p = p * u + 2.0 / 13.0;
  p = p * u + 2.0 / 11.0;
  p = p * u + 2.0 / 9.0;
  p = p * u + 2.0 / 7.0;
  p = p * u + 2.0 / 5.0;
  p = p * u + 2.0 / 3.0;
  // 2 s = f - s f, where f has no error.
  Vector const small = n * 1.90821492927058770002e-10 + s * (u * p - f);
  return n * 0.693147180369123816490 + (f + small);
}

struct SinCos {
  Vector sin;
  Vector cos;
};

/// sin(v) and cos(v) for |v| < 1e5.
TORCHML_INLINE SinCos sincos(Vector v) {
  // v = n pi/2 + t, |t| <= pi/4; pi/2 in three parts (Cody and Waite).
  auto const n = round(v * 0.6366197723675814);
  Vector t = v - n.value * 1.5707963267341256;
  t = t - n.value * 6.077100506303966e-11;
  t = t - n.value * 2.0222662487959506e-21;
  Vector const u = t * t;
  Vector const s = sinc_series<9>(u) * t;
  Vector const c = cos_series<10>(u);
  // Odd quadrants swap the two; bit 1 of n (sine) and of n + 1 (cosine) moves to the sign.
  Mask const odd = abs(n.value - 2.0 * round(n.value * 0.5).value) > Vector(0.5);
  Vector const sine = select(odd, c, s);
  Vector const cosine = select(odd, s, c);
  Bits const sign_s = ((n.integer >> 1) & 1) << 63;
  Bits const sign_c = (((n.integer + 1) >> 1) & 1) << 63;
  return {from_bits(bits(sine) ^ sign_s), from_bits(bits(cosine) ^ sign_c)};
}

}  // namespace torchml::simd::TORCHML_SIMD
