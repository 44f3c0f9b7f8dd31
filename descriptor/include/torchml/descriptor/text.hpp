// Reading and writing numbers and words. Kept under this name for programs that include it.
#pragma once

#include "torchml/common/text.hpp"
