#include "host/node_ranks.hpp"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "host/launchers.hpp"
#include "host/mpi_world.hpp"

#ifdef __linux__
#include <sched.h>
#endif

namespace torchml {
namespace {

/// Cores that a process may use; all cores where the system has no such limit.
int cores_allowed([[maybe_unused]] pid_t process) {
#ifdef __linux__
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(process, sizeof mask, &mask) == 0) return std::max(1, CPU_COUNT(&mask));
#endif
  return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

int cores_of_rank(NodeRanks const& ranks) {
  int const own = cores_allowed(0);
  if (ranks.local_size <= 1) return own;
  // The launcher is not bound to one rank's cores, so its mask is what all ranks share.
  return std::max(1, std::min(own, cores_allowed(getppid()) / ranks.local_size));
}

}  // namespace

NodeRanks node_ranks() {
  for (auto const& launcher : launchers()) {
    auto const rank = number_in_environment(launcher.local_rank);
    if (!rank || *rank < 0) continue;
    auto const size = number_in_environment(launcher.local_size).value_or(1);
    return {*rank, std::max(*rank + 1, size)};
  }
  if (auto const world = mpi_world()) return {world->rank, world->size};
  return {};
}

int job_size() {
  int size = 1;
  for (auto const& launcher : launchers())
    size = std::max(size, number_in_environment(launcher.size).value_or(1));
  if (auto const world = mpi_world()) size = std::max(size, world->size);
  return size;
}

int job_rank() {
  for (auto const& launcher : launchers())
    if (auto const rank = number_in_environment(launcher.rank); rank && *rank >= 0) return *rank;
  if (auto const world = mpi_world()) return world->rank;
  return 0;
}

int default_threads(NodeRanks const& ranks) {
  if (auto const threads = number_in_environment("OMP_NUM_THREADS"); threads && *threads > 0)
    return *threads;
  return cores_of_rank(ranks);
}

int threads_that_fit(NodeRanks const& ranks) {
  return std::min(default_threads(ranks), cores_of_rank(ranks));
}

}  // namespace torchml
