#include "deviation_file.hpp"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "torchml/common/error.hpp"

namespace torchml::kim {
namespace {

/// Whether this process opens the path for the first time.
bool is_first(std::string const& path) {
  static std::mutex mutex;
  static std::set<std::string> opened;
  std::scoped_lock const one_at_a_time(mutex);
  return opened.insert(path).second;
}

std::string path_of(DeviationSettings const& settings) {
  auto path = settings.file.string();
  if (settings.ranks > 1) path.append(".").append(std::to_string(settings.rank));
  return path;
}

}  // namespace

DeviationFile::DeviationFile(DeviationSettings const& settings, int members)
    : path_(path_of(settings)),
      above_(settings.above),
      file_(std::fopen(path_.c_str(), "a"), &std::fclose) {
  if (!file_) refuse(std::string("cannot be written (") + std::strerror(errno) + ")");
  int const descriptor = fileno(file_.get());
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) refuse("is written by another process or model");
  if (is_first(path_) && ftruncate(descriptor, 0) != 0)
    refuse(std::string("cannot be emptied (") + std::strerror(errno) + ")");
  std::fprintf(file_.get(),
               "# deviations of a committee of TorchML, format 1; eV and Å\n"
               "run rank %d ranks %d members %d every %d above %.9g stop %.9g\n",
               settings.rank, settings.ranks, members, settings.every, settings.above,
               settings.stop);
}

void DeviationFile::write(long long evaluation, Deviations const& found, System const& system,
                          std::span<std::string const> species) {
  auto* const file = file_.get();
  auto const& deviations = found.forces;
  int atoms = 0;
  int above = 0;
  double sum = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < system.size(); ++i) {
    if (system.contributing[i] == 0) continue;
    ++atoms;
    above += deviations[i] > above_ ? 1 : 0;
    sum += deviations[i];
    largest = std::max(largest, deviations[i]);
  }
  std::fprintf(file, "evaluation %lld atoms %d largest %.12g mean %.12g above %d energies",
               evaluation, atoms, largest, atoms > 0 ? sum / atoms : 0.0, above);
  for (double const energy : found.energies) std::fprintf(file, " %.17g", energy);
  std::fputc('\n', file);
  for (std::size_t i = 0; i < system.size(); ++i) {
    if (system.contributing[i] == 0 || !(deviations[i] > above_)) continue;
    double const* const x = system.coordinates.data() + 3 * i;
    std::fprintf(file, "atom %lld %s %.9g %.9g %.9g %.12g\n", evaluation,
                 species[system.species[i]].c_str(), x[0], x[1], x[2], deviations[i]);
  }
  if (std::fflush(file) != 0 || std::ferror(file) != 0)
    refuse(std::string("cannot be written (") + std::strerror(errno) + ")");
}

void DeviationFile::refuse(std::string const& problem) const {
  throw Error("the file " + path_ + " of TORCHML_DEVIATIONS " + problem +
              ", expected a file that this process alone writes");
}

}  // namespace torchml::kim
