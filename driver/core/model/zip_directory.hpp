// The directory of a zip file, read before any reader of archives trusts it.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace torchml {

/// A part of a zip file.
struct ZipPart {
  std::string name;
  std::uint64_t begin;   ///< offset of its local header in the file
  std::uint64_t stored;  ///< bytes in the file
  std::uint64_t size;    ///< bytes when unpacked
};

/// Reads the directory at the end of a zip file, 64-bit records included. Throws Error where the
/// parts are not as they are described: beyond the file, in each other's place, under names that
/// leave a folder or occur twice, of unknown methods, or unpacked far larger than the file.
std::vector<ZipPart> read_zip_directory(std::istream& stream);

}  // namespace torchml
