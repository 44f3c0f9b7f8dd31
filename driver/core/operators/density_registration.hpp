// The entries of torchml::density and its derivatives in torch's dispatcher.
#pragma once

#include "operators/schema.hpp"

namespace torchml::operators {

std::vector<Schema> const& density_schemas();
void implement_density(Libraries const& libraries);

}  // namespace torchml::operators
