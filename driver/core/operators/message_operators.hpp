// Operators torchml::messages and their derivatives.
#pragma once

namespace torchml::operators {

/// Part of `register_operators`.
void register_messages();

}  // namespace torchml::operators
