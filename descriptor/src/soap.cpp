#include "torchml/descriptor/soap.hpp"

#include "torchml/descriptor/error.hpp"

namespace torchml::descriptor {

std::unique_ptr<Descriptor const> make_descriptor(SoapParameters) {
  throw Error("soap is not there yet");
}

}  // namespace torchml::descriptor
