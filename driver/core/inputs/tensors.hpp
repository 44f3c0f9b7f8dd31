// Small helpers between vectors and tensors.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "spec/torch_dtype.hpp"

namespace torchml {

/// A tensor on `device` of a vector's elements; a copy, since a model may keep its arguments.
template <class Element>
torch::Tensor tensor_of(std::vector<Element>& data, torch::IntArrayRef shape,
                        torch::Device device) {
  return torch::from_blob(data.data(), shape, torch::CppTypeToScalarType<Element>::value)
      .to(torch::TensorOptions(device), /*non_blocking=*/false, /*copy=*/true);
}

/// A tensor on `device` whose elements `fill` writes, row by row.
template <class Element, class Fill>
torch::Tensor filled(torch::IntArrayRef shape, torch::Device device, Fill const& fill) {
  auto const tensor = torch::empty(shape, torch::CppTypeToScalarType<Element>::value);
  fill(std::span(tensor.template data_ptr<Element>(), static_cast<std::size_t>(tensor.numel())));
  return tensor.to(device);
}

/// The differentiable input: float64 data in the model's own type and place, as a leaf.
inline torch::Tensor leaf_of(std::span<double const> data, torch::IntArrayRef shape,
                             ScalarType dtype, torch::Device device, bool gradient) {
  // Copied, since a model may work in place and the data are the simulator's; from_blob wants a
  // mutable pointer, but nothing writes through it.
  return torch::from_blob(const_cast<double*>(data.data()), shape, torch::kFloat64)
      .to(device, torch_dtype(dtype), /*non_blocking=*/false, /*copy=*/true)
      .requires_grad_(gradient);
}

}  // namespace torchml
