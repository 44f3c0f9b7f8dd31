// The inner loops of convolutions with several rows, tile by tile of their channels.
#pragma once

#include "operators/spline_kernel.hpp"

namespace torchml::operators {

template <class Real>
struct ConvolutionKernel {
  /// In how many tiles the channels are cut.
  std::int64_t (*tiles)(std::int64_t width);

  /// Numbers that the functions below need as scratch, aligned to 64 bytes.
  std::int64_t (*scratch)(Convolution<Real> const& convolution);

  /// Sums of the targets begin .. end, over edges sorted by target: [targets, rows_out, width].
  /// Returns false when a source lies beyond the features.
  bool (*sums)(Convolution<Real> const& convolution, EdgeList const& by_target, std::int64_t begin,
               std::int64_t end, Real* scratch, Real* sums);

  /// Adds what one tile contributes to the derivatives by distances and factors, and writes its
  /// part of those by the features, over edges sorted by target.
  void (*gradients)(Convolution<Real> const& convolution, EdgeList const& by_target,
                    Real const* gradient, std::int64_t tile, Real* scratch,
                    ConvolutionGradients<Real> const& gradients);
};

using ConvolutionKernel64 = ConvolutionKernel<double>;
using ConvolutionKernel32 = ConvolutionKernel<float>;

TORCHML_KERNEL(ConvolutionKernel64, convolution_kernel_f64)
TORCHML_KERNEL(ConvolutionKernel32, convolution_kernel_f32)

/// The kernel of this processor.
template <class Real>
ConvolutionKernel<Real> const& convolution_kernel();
template <>
inline ConvolutionKernel<double> const& convolution_kernel<double>() {
  return convolution_kernel_f64();
}
template <>
inline ConvolutionKernel<float> const& convolution_kernel<float>() {
  return convolution_kernel_f32();
}

}  // namespace torchml::operators
