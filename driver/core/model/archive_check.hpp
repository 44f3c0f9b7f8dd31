// Whether an archive holds what it announces, before libtorch reads it.
#pragma once

#include <istream>

namespace torchml {

/// Checks the zip file (read_zip_directory) and, against its parts, the pickles of TorchScript and
/// torch.save in it, and how deep the code of TorchScript nests. libtorch itself would read beyond
/// the memory of a part that is too short, or run out of stack, which ends the process. Throws
/// Error with the reason alone, for a sentence that names the file.
void check_archive(std::istream& stream);

}  // namespace torchml
