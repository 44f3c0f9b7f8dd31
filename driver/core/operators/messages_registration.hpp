// The entries of torchml::messages and its derivatives in torch's dispatcher.
#pragma once

#include "operators/schema.hpp"

namespace torchml::operators {

std::vector<Schema> const& messages_schemas();
void implement_messages(Libraries const& libraries);

}  // namespace torchml::operators
