#include "model/model.hpp"

#include "torchml/common/error.hpp"

namespace torchml {

std::vector<torch::Tensor> Model::member_energies(
    std::vector<c10::IValue> const& /*inputs*/) const {
  throw Error(
      "the members of a committee were requested but the model has no method member_energies, "
      "expected a committee as TorchScript (python -m torchml_export --committee)");
}

}  // namespace torchml
