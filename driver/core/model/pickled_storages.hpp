// The memory that a pickle of tensors expects, found without making one of its objects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace torchml {

/// The numbers of one or more tensors, in a part of the archive of their own.
struct PickledStorage {
  std::string key;      ///< name of the part in its folder
  std::uint64_t bytes;  ///< that the part must hold
};

/// Follows the instructions of a pickle, as torch.save and TorchScript write it, and returns the
/// storages in it. libtorch believes such a pickle: what it says of a storage or a tensor is not
/// compared with the memory there is, and an empty stack is read. Throws Error where an instruction
/// is unknown or finds not what it needs, where objects are nested too deep, and where a tensor is
/// larger than its storage.
std::vector<PickledStorage> pickled_storages(std::string_view pickle);

}  // namespace torchml
