// The TorchScript archive of a portable model in the place of a compiled one that cannot run here.
#pragma once

#include <string>

#include "host/runtime_settings.hpp"
#include "spec/model_files.hpp"

namespace torchml {

/// Puts the fallback of `files`, if there is one, in the place of a compiled archive that does not
/// fit this machine, its libtorch or the device of `settings` (require_fit), or cannot be unpacked.
/// @return one sentence with the reason, for the user; empty where the archive stays
std::string replace_unfit_archive(ModelFiles& files, RuntimeSettings const& settings);

}  // namespace torchml
