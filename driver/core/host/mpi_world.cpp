#include "host/mpi_world.hpp"

#include <cstdio>
#include <cstdlib>

#ifdef TORCHML_WITH_MPI
#include <mpi.h>
#endif

namespace torchml {

std::optional<MpiWorld> mpi_world() {
#ifdef TORCHML_WITH_MPI
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized == 0 || finalized != 0) return std::nullopt;
  MpiWorld world;
  MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world.size);
  return world;
#else
  return std::nullopt;
#endif
}

void abort_job() {
  std::fflush(nullptr);  // what was printed before is not lost
#ifdef TORCHML_WITH_MPI
  if (mpi_world()) MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
#endif
  std::_Exit(EXIT_FAILURE);
}

}  // namespace torchml
