// libtorch's exceptions as readable text. The shim includes this: it must not need torch's headers.
#pragma once

#include <exception>
#include <string>

namespace torchml {

/// The cause of a libtorch exception without C++ and TorchScript stack traces, on one line.
std::string describe(std::exception const& exception);

}  // namespace torchml
