// The meaningful lines of a text file. Kept under this name for programs that include it.
#pragma once

#include "torchml/common/lines.hpp"
