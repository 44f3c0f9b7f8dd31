// The entries of torchml::cluster_energies in torch's dispatcher.
#pragma once

#include "operators/schema.hpp"

namespace torchml::operators {

std::vector<Schema> const& cluster_schemas();
void implement_cluster(Libraries const& libraries);

}  // namespace torchml::operators
