#include "math_kernel.hpp"

#include "torchml/common/simd/math.hpp"

namespace torchml::simd::TORCHML_SIMD {
namespace {

void exp_of(double const* x, double* result) {
  store(exp(load(x)), result);
}

void sincos_of(double const* x, double* sine, double* cosine) {
  auto const both = sincos(load(x));
  store(both.sin, sine);
  store(both.cos, cosine);
}

void round_of(double const* x, double* result) {
  store(round(load(x)).value, result);
}

void sqrt_abs_of(double const* x, double* result) {
  store(sqrt(abs(load(x))), result);
}

void smaller_of(double const* x, double const* y, double* result) {
  store(min(load(x), load(y)), result);
}

void larger_of(double const* x, double const* y, double* result) {
  store(max(load(x), load(y)), result);
}

void lesser_index_of(double const* x, double const* y, double* result) {
  store(select(load(x) < load(y), lane_numbers(), Vector(-1.0)), result);
}

void gather_of(double const* from, int const* index, double* result) {
  store(gather(from, index), result);
}

double sum_of(double const* x) {
  return sum(load(x));
}

int how_many_of(double const* x) {
  Mask const negative = load(x) < Vector(0.0);
  return all(negative) ? 2 : any(negative) ? 1 : 0;
}

}  // namespace

extern MathKernel const math_kernel = {lanes,       exp_of,     sincos_of,  round_of,
                                       sqrt_abs_of, smaller_of, larger_of,  lesser_index_of,
                                       gather_of,   sum_of,     how_many_of};

}  // namespace torchml::simd::TORCHML_SIMD
