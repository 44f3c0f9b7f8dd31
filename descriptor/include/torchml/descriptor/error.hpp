// The library's one exception type. Kept under this name for programs that include it.
#pragma once

#include "torchml/common/error.hpp"
