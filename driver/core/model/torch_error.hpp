// One readable sentence from libtorch's exceptions.
#pragma once

#include <exception>
#include <string>

namespace torchml {

/// The cause of a libtorch exception without C++ and TorchScript stack traces, on one line.
std::string describe(std::exception const& exception);

}  // namespace torchml
