// Operators of the namespace `torchml`, which compressed models call. They are part of the driver
// and of torchml._core; models that need them fail to load elsewhere.
#pragma once

namespace torchml {

/// Registers the operators with libtorch unless this process has them already (a simulator may hold
/// the driver and torchml._core). They stay registered for good. Throws Error when another version
/// of this library has registered different ones.
void register_operators();

}  // namespace torchml
