// Whether a model that was compiled ahead of time can run here. PyTorch's own loader does not check
// that: a foreign instruction set ends in SIGILL, a foreign device in wrong numbers.
#pragma once

#include <torch/types.h>

#include <string>

#include "spec/model_declaration.hpp"

namespace torchml {

/// Compares what an archive declares (keys `instruction_set`, `torch`, `device`) with this
/// processor, the libtorch of this process and the requested device. Throws Error with the first
/// key that does not fit or is missing.
///
/// `instruction_set` holds all words of: avx2, avx512, avx512_vnni, amx_tile (x86-64), or the name
/// of another architecture, e.g. aarch64. `torch`: the same major version, and at least the minor
/// version the archive was compiled with: compiled models call libtorch through its C shim alone,
/// which only grows (torch/csrc/inductor/aoti_torch/c/shim.h).
void require_fit(Declaration const& declared, torch::Device device);

}  // namespace torchml
