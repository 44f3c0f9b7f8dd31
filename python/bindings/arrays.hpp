// Between numpy arrays and spans.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <span>
#include <vector>

namespace torchml {

template <class Element>
using Array = pybind11::array_t<Element, pybind11::array::c_style | pybind11::array::forcecast>;

template <class Element>
std::span<Element const> span_of(Array<Element> const& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <class Element>
std::span<Element> mutable_span_of(pybind11::array_t<Element>& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

template <class Element>
pybind11::array_t<Element> to_array(std::vector<Element> const& values,
                                    std::vector<pybind11::ssize_t> const& shape) {
  pybind11::array_t<Element> array(shape);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

}  // namespace torchml
