// Small helpers between vectors and tensors.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "spec/torch_dtype.hpp"

namespace torchml {

/// An empty tensor in memory of the host from which it is copied to `device`: pinned if that is a
/// GPU, which then needs no second copy in between.
inline torch::Tensor staging(torch::IntArrayRef shape, torch::ScalarType type,
                             torch::Device device) {
  return torch::empty(shape, torch::TensorOptions(type).pinned_memory(device.is_cuda()));
}

/// A filled tensor of `staging` on `device`. A GPU copies it in the order of its stream, and torch
/// keeps the pinned memory until then.
inline torch::Tensor staged(torch::Tensor const& host, torch::Device device) {
  return host.to(device, host.scalar_type(), /*non_blocking=*/true);
}

/// A tensor on `device` of a vector's elements; a copy, since a model may keep its arguments.
template <class Element>
torch::Tensor tensor_of(std::vector<Element>& data, torch::IntArrayRef shape,
                        torch::Device device) {
  auto const type = torch::CppTypeToScalarType<Element>::value;
  return staged(staging(shape, type, device).copy_(torch::from_blob(data.data(), shape, type)),
                device);
}

/// A tensor on `device` whose elements `fill` writes, row by row.
template <class Element, class Fill>
torch::Tensor filled(torch::IntArrayRef shape, torch::Device device, Fill const& fill) {
  auto const host = staging(shape, torch::CppTypeToScalarType<Element>::value, device);
  fill(std::span(host.template data_ptr<Element>(), static_cast<std::size_t>(host.numel())));
  return staged(host, device);
}

/// The differentiable input: float64 data in the model's own type and place, as a leaf.
inline torch::Tensor leaf_of(std::span<double const> data, torch::IntArrayRef shape,
                             ScalarType dtype, torch::Device device, bool gradient) {
  // Copied, since a model may work in place and the data are the simulator's; from_blob wants a
  // mutable pointer, but nothing writes through it.
  auto const given = torch::from_blob(const_cast<double*>(data.data()), shape, torch::kFloat64);
  return staged(staging(shape, torch_dtype(dtype), device).copy_(given), device)
      .requires_grad_(gradient);
}

}  // namespace torchml
