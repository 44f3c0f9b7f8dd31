#include "host/node_ranks.hpp"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "host/launchers.hpp"

#ifdef __linux__
#include <sched.h>
#endif
#ifdef TORCHML_WITH_MPI
#include <mpi.h>
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

#ifdef TORCHML_WITH_MPI
/// Rank and size of MPI_COMM_WORLD, if MPI runs.
std::optional<NodeRanks> world_ranks() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized == 0 || finalized != 0) return std::nullopt;
  NodeRanks world;
  MPI_Comm_rank(MPI_COMM_WORLD, &world.local_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world.local_size);
  return world;
}
#endif

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
#ifdef TORCHML_WITH_MPI
  if (auto const world = world_ranks()) return *world;
#endif
  return {};
}

int job_size() {
  int size = 1;
  for (auto const& launcher : launchers())
    size = std::max(size, number_in_environment(launcher.size).value_or(1));
#ifdef TORCHML_WITH_MPI
  if (auto const world = world_ranks()) size = std::max(size, world->local_size);
#endif
  return size;
}

int job_rank() {
  for (auto const& launcher : launchers())
    if (auto const rank = number_in_environment(launcher.rank); rank && *rank >= 0) return *rank;
#ifdef TORCHML_WITH_MPI
  if (auto const world = world_ranks()) return world->local_rank;
#endif
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
