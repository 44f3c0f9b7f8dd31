#include "host/node_ranks.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "torchml/common/text.hpp"

#ifdef __linux__
#include <sched.h>
#endif
#ifdef TORCHML_WITH_MPI
#include <mpi.h>
#endif

namespace torchml {
namespace {

std::optional<int> number_from(char const* variable) {
  char const* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  std::string_view value = text;
  // Slurm writes "4(x2)", OpenMP allows "4,2": the first number counts.
  value = value.substr(0, value.find_first_of("(,"));
  return parse_number<int>(trim(value));
}

/// Cores that a process may use; all that are there where the system does not say.
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
  constexpr std::array<std::pair<char const*, char const*>, 5> launchers = {{
      {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
      {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
      {"PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"},
      {"SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"},
  }};
  for (auto const& [rank_variable, size_variable] : launchers) {
    auto const rank = number_from(rank_variable);
    if (!rank || *rank < 0) continue;
    return {*rank, std::max(*rank + 1, number_from(size_variable).value_or(1))};
  }
#ifdef TORCHML_WITH_MPI
  if (auto const world = world_ranks()) return *world;
#endif
  return {};
}

int job_size() {
  int size = 1;
  for (char const* const variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                     "PALS_SIZE", "SLURM_STEP_NUM_TASKS"})
    size = std::max(size, number_from(variable).value_or(1));
#ifdef TORCHML_WITH_MPI
  if (auto const world = world_ranks()) size = std::max(size, world->local_size);
#endif
  return size;
}

int default_threads(NodeRanks const& ranks) {
  if (auto const threads = number_from("OMP_NUM_THREADS"); threads && *threads > 0) return *threads;
  return cores_of_rank(ranks);
}

int threads_that_fit(NodeRanks const& ranks) {
  return std::min(default_threads(ranks), cores_of_rank(ranks));
}

}  // namespace torchml
