#include "torchml/descriptor/symmetry_functions.hpp"

#include "torchml/descriptor/error.hpp"

namespace torchml::descriptor {

std::unique_ptr<Descriptor const> make_descriptor(SymmetryFunctionsParameters) {
  throw Error("symmetry_functions is not there yet");
}

}  // namespace torchml::descriptor
