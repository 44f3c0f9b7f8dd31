// The device on which a model runs.
#pragma once

#include <torch/types.h>

#include <string>

namespace torchml {

/// "cpu", "cuda" (the node-local rank modulo the number of visible GPUs) or "cuda:K". Throws
/// Error that lists what is there when the device does not exist.
torch::Device pick_device(std::string const& name, int node_local_rank);

}  // namespace torchml
