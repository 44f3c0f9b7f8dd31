#include "torchml/descriptor/xi.hpp"

#include "torchml/descriptor/error.hpp"

namespace torchml::descriptor {

std::unique_ptr<Descriptor const> make_descriptor(XiParameters) {
  throw Error("xi is not there yet");
}

}  // namespace torchml::descriptor
