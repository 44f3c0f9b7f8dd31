// What MPI itself says about this process. Compiled apart from the rest of the engine, because it
// depends on the MPI of the machine: see torchml_add_mpi_world in cmake/TorchMLEngine.cmake.
#pragma once

#include <optional>

namespace torchml {

struct MpiWorld {
  int rank = 0;  ///< 0-based in MPI_COMM_WORLD
  int size = 1;  ///< ranks in MPI_COMM_WORLD
};

/// Rank and size in MPI_COMM_WORLD; nothing where MPI does not run, or where this was built without
/// KIM_MODEL_MPI_AWARE.
std::optional<MpiWorld> mpi_world();

/// Ends this process and, with it, the other ranks of its job: by MPI_Abort where mpi_world() knows
/// MPI, else by an exit status that launchers notice.
[[noreturn]] void abort_job();

}  // namespace torchml
