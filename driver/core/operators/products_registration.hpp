// The entries of torchml::products and its derivatives in torch's dispatcher.
#pragma once

#include "operators/schema.hpp"

namespace torchml::operators {

std::vector<Schema> const& products_schemas();
void implement_products(Libraries const& libraries);

}  // namespace torchml::operators
