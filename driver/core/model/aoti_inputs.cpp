#include "model/aoti_inputs.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <string>

#include "model/shape_text.hpp"
#include "spec/torch_dtype.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml {
namespace {

struct TypeName {
  char const* name;
  torch::ScalarType type;
};
constexpr TypeName type_names[] = {{"float32", torch::kFloat32},
                                   {"float64", torch::kFloat64},
                                   {"int32", torch::kInt32},
                                   {"int64", torch::kInt64}};

std::vector<std::string> split_sizes(std::string const& text) {
  std::vector<std::string> sizes;
  std::istringstream stream(text);
  for (std::string size; std::getline(stream, size, ',');) sizes.push_back(size);
  return sizes;
}

}  // namespace

AotiInputs::AotiInputs(std::string const& text, std::string source) : source_(std::move(source)) {
  for (auto const& word : split_words(text)) {
    auto const colon = word.find(':');
    auto const open = word.find('[');
    auto const* const type =
        colon == std::string::npos || open == std::string::npos || open < colon
            ? std::end(type_names)
            : std::find_if(
                  std::begin(type_names), std::end(type_names),
                  [&](auto const& known) {
                    return word.substr(colon + 1, open - colon - 1) == known.name;
                  });
    if (colon == 0 || type == std::end(type_names) || word.back() != ']')
      throw Error("an input is '" + word + "' in " + source_ +
                  ", expected name:type[sizes] such as coords:float64[N,3]");
    inputs_.push_back({word.substr(0, colon), type->type,
                       split_sizes(word.substr(open + 1, word.size() - open - 2))});
    if (arguments_.empty() || arguments_.back() != inputs_.back().name)
      arguments_.push_back(inputs_.back().name);
  }
}

bool AotiInputs::takes(ScalarType dtype) const {
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [&](Input const& input) { return input.type == torch_dtype(dtype); });
}

std::vector<torch::Tensor> AotiInputs::flatten(std::vector<c10::IValue> const& arguments) const {
  std::vector<torch::Tensor> tensors;
  tensors.reserve(inputs_.size());
  torch::Tensor nodes;
  torch::Tensor edges;
  for (std::size_t k = 0; k < arguments.size() && k < arguments_.size(); ++k) {
    if (arguments[k].isTensor()) {
      tensors.push_back(arguments[k].toTensor().contiguous());  // it reads memory in order
      if (arguments_[k] == "contributing") nodes = tensors.back();
      if (arguments_[k] == "edge_index") edges = tensors.back().select(0, 0);
      continue;
    }
    auto const& whole = arguments_[k] == "node_counts" ? nodes : edges;
    auto const counts = arguments[k].toIntVector();
    for (std::size_t shell = 0; shell + 1 < counts.size(); ++shell)
      tensors.push_back(whole.narrow(0, 0, counts[shell]));
  }
  check(tensors);
  return tensors;
}

void AotiInputs::check(std::vector<torch::Tensor> const& tensors) const {
  if (tensors.size() != inputs_.size())
    throw Error("the model gets " + std::to_string(tensors.size()) + " tensors, expected the " +
                std::to_string(inputs_.size()) + " of 'inputs' in " + source_);
  std::map<std::string, std::int64_t> known;
  for (std::size_t k = 0; k < tensors.size(); ++k) {
    auto const& input = inputs_[k];
    auto const& tensor = tensors[k];
    if (tensor.scalar_type() != input.type)
      throw Error("the model's input " + input.name + " is of type " +
                  toString(tensor.scalar_type()) + ", expected " + toString(input.type) +
                  " as in 'inputs' of " + source_);
    bool fits = tensor.dim() == static_cast<std::int64_t>(input.sizes.size());
    for (std::size_t d = 0; fits && d < input.sizes.size(); ++d) {
      auto const size = tensor.size(static_cast<std::int64_t>(d));
      auto const number = parse_number<std::int64_t>(input.sizes[d]);
      fits = size == (number ? *number : known.emplace(input.sizes[d], size).first->second);
    }
    if (!fits)
      throw Error("the model's input " + input.name + " has the shape " + shape_text(tensor) +
                  ", expected one that fits 'inputs' in " + source_);
  }
}

}  // namespace torchml
