// The one exception type of the engine: that of the descriptor library.
//
// Thrown by everything below the KIM shim and the Python bindings, which translate it.
#pragma once

#include "torchml/descriptor/error.hpp"
