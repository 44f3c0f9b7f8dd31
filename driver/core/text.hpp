// Reading numbers and words from text: the helpers of the descriptor library.
#pragma once

#include "torchml/descriptor/text.hpp"
