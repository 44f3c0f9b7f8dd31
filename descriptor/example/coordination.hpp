// A new kind of descriptor: smooth coordination numbers, one for each species.
#pragma once

#include <memory>

#include "torchml/descriptor/descriptor.hpp"

namespace example {

struct CoordinationParameters {
  torchml::descriptor::SpeciesCutoffs cutoffs;
};

/// D_s = sum over the neighbours j of species s of (1 - (r_j / rc)^2)^2.
std::unique_ptr<torchml::descriptor::Descriptor const> make_descriptor(
    CoordinationParameters parameters);

}  // namespace example
