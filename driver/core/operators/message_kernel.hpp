// The inner loops of messages with given filters, for one element type.
#pragma once

#include <cstdint>

#include "operators/spline_kernel.hpp"
#include "torchml/common/simd/dispatch.hpp"

namespace torchml::operators {

/// Rows of numbers, one for each edge or node. A stride of zero repeats the same row.
template <class Real>
struct Rows {
  Real const* first;
  std::int64_t stride;

  [[nodiscard]] Real const* of(std::int64_t row) const { return first + row * stride; }
};

/// What messages are made of, or a change of it. With a weight the filters are inputs of a linear
/// map, whose results are computed where they are needed, and stay in the caches.
template <class Real>
struct MessageArrays {
  Rows<Real> filters;             ///< [edges, parts, width], or [edges, inputs]
  Rows<Real> factors;             ///< [edges, factors]
  Rows<Real> features;            ///< [sources, rows_in, width]
  Real const* weight;             ///< [inputs, parts, width], or null
  Real const* transposed_weight;  ///< [parts, width, padded_inputs], or null
};

/// The terms, and the numbers of rows. Edges from `edges` on do not take part.
struct MessageShape {
  Term const* terms;
  std::int64_t term_count;
  std::int64_t rows_in;
  std::int64_t rows_out;
  std::int64_t parts;
  std::int64_t factors;
  std::int64_t width;
  std::int64_t inputs;         ///< of the linear map; 0 without a weight
  std::int64_t padded_inputs;  ///< a multiple of kMessageLanes
  std::int64_t edges;
  std::int64_t sources;
  std::int64_t targets;

  [[nodiscard]] std::int64_t columns() const { return parts * width; }
};

inline constexpr std::int64_t kMessageLanes = 16;
inline constexpr std::int64_t kMessageBlock = 16;  // edges whose filters are computed at once

/// Numbers that a call needs as scratch.
inline std::int64_t message_scratch(MessageShape const& shape) {
  return kMessageBlock * (3 * shape.padded_inputs + 4 * shape.columns());
}

/// Where derivatives are written, shaped as the arrays; null where one is not requested. Those by
/// the weight are added.
template <class Real>
struct MessageGradients {
  Real* filters;
  Real* factors;
  Real* features;
  Real* weight;
};

/// With the form T = sum over e, terms of gradient[t, out] filter[e, part] factor[e, k]
/// feature[s, in]: the sums are dT/dgradient, the gradients its derivatives by the arrays, and the
/// tangents are how these change with the arrays.
template <class Real>
struct MessageKernel {
  /// Sums of the targets begin .. end: [targets, rows_out, width]. False when a source lies beyond
  /// the features.
  bool (*sums)(MessageShape const& shape, MessageArrays<Real> const& arrays,
               EdgeList const& by_target, std::int64_t begin, std::int64_t end, Real* scratch,
               Real* sums);

  /// Derivatives by what belongs to the sources begin .. end, and to their edges.
  void (*gradients)(MessageShape const& shape, MessageArrays<Real> const& arrays,
                    EdgeList const& by_source, Real const* gradient, std::int64_t begin,
                    std::int64_t end, Real* scratch, MessageGradients<Real> const& gradients);

  /// Changes of the sums of the targets begin .. end.
  void (*sum_tangents)(MessageShape const& shape, MessageArrays<Real> const& arrays,
                       MessageArrays<Real> const& changes, EdgeList const& by_target,
                       std::int64_t begin, std::int64_t end, Real* scratch, Real* sums);

  /// Changes of the derivatives, at the same gradient.
  void (*gradient_tangents)(MessageShape const& shape, MessageArrays<Real> const& arrays,
                            MessageArrays<Real> const& changes, EdgeList const& by_source,
                            Real const* gradient, std::int64_t begin, std::int64_t end,
                            Real* scratch, MessageGradients<Real> const& gradients);
};

using MessageKernel64 = MessageKernel<double>;
using MessageKernel32 = MessageKernel<float>;

TORCHML_KERNEL(MessageKernel64, message_kernel_f64)
TORCHML_KERNEL(MessageKernel32, message_kernel_f32)

/// The kernel of this processor.
template <class Real>
MessageKernel<Real> const& message_kernel();
template <>
inline MessageKernel<double> const& message_kernel<double>() {
  return message_kernel_f64();
}
template <>
inline MessageKernel<float> const& message_kernel<float>() {
  return message_kernel_f32();
}

}  // namespace torchml::operators
