// The inputs of a model that was compiled ahead of time: only tensors, of fixed types.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

#include "spec/model_declaration.hpp"

namespace torchml {

/// The metadata key `inputs`: one word per input, in order, as name:type[size,size]. A size is a
/// number, or a name that stands for the same number everywhere, such as
/// `species:int64[M] edge_vectors:float64[E,3] edge_index:int64[2,E] contributing:int64[M]`.
///
/// Lists of counts cannot be inputs. Each count of node_counts and edge_counts but the last, which
/// is that of all nodes or edges, is passed as the size of an input of that name: a view of
/// the first nodes of `contributing`, or of the first edges in row 0 of `edge_index`.
class AotiInputs {
 public:
  /// Throws Error when the text is malformed; `source` is the place it was read.
  AotiInputs(std::string const& text, std::string source);

  /// Names of forward's arguments before it was compiled: each name once.
  [[nodiscard]] std::vector<std::string> const& argument_names() const { return arguments_; }

  /// Some floating-point input is of this type.
  [[nodiscard]] bool takes(ScalarType dtype) const;

  /// The tensors that stand for forward's arguments. Throws Error when one has another type or
  /// shape than declared: the model would read past its memory.
  [[nodiscard]] std::vector<torch::Tensor> flatten(std::vector<c10::IValue> const& arguments) const;

 private:
  struct Input {
    std::string name;
    torch::ScalarType type;
    std::vector<std::string> sizes;
  };

  void check(std::vector<torch::Tensor> const& tensors) const;

  std::string source_;
  std::vector<Input> inputs_;
  std::vector<std::string> arguments_;
};

}  // namespace torchml
