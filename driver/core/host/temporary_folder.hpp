// The folder into which compiled archives are unpacked.
#pragma once

#include <filesystem>

namespace torchml {

/// Throws Error with one sentence unless the temporary folder (TMPDIR, or the system's own) exists,
/// can be written, lets programs run and has room for a compiled archive, whose files are stored
/// as they are.
void require_temporary_folder(std::filesystem::path const& archive);

}  // namespace torchml
