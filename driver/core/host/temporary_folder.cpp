#include "host/temporary_folder.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml {
namespace {

namespace fs = std::filesystem;

/// As std::filesystem::temp_directory_path, which does not name a folder that is missing.
std::string temporary_folder() {
  for (auto const* const name : {"TMPDIR", "TMP", "TEMP", "TEMPDIR"})
    if (char const* const value = std::getenv(name)) return value;
  return "/tmp";
}

std::string problem_of(std::string const& folder, std::uintmax_t bytes) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return "does not exist";
  if (access(folder.c_str(), W_OK | X_OK) != 0) return "cannot be written";
  struct statvfs facts{};
  if (statvfs(folder.c_str(), &facts) != 0) return {};
  if ((facts.f_flag & ST_RDONLY) != 0) return "cannot be written";
#if defined(ST_NOEXEC)
  if ((facts.f_flag & ST_NOEXEC) != 0) return "does not let programs run";
#endif
  auto const room = static_cast<std::uintmax_t>(facts.f_bavail) * facts.f_frsize;
  return room < bytes ? "has room for " + std::to_string(room) + " bytes" : std::string{};
}

}  // namespace

void require_temporary_folder(fs::path const& archive) {
  std::error_code unknown;
  auto const size = fs::file_size(archive, unknown);
  auto const bytes = unknown ? 0 : size;
  auto const folder = temporary_folder();
  auto const problem = problem_of(folder, bytes);
  if (!problem.empty())
    throw Error("cannot unpack " + archive.filename().string() + ": the temporary folder " +
                folder + " " + problem +
                ", expected one (TMPDIR) that exists, lets files be written and programs run, and "
                "has room for " +
                std::to_string(bytes) + " bytes");
}

}  // namespace torchml
