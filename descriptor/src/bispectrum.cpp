#include "torchml/descriptor/bispectrum.hpp"

#include "torchml/descriptor/error.hpp"

namespace torchml::descriptor {

std::unique_ptr<Descriptor const> make_descriptor(BispectrumParameters) {
  throw Error("bispectrum is not there yet");
}

}  // namespace torchml::descriptor
