// The variables in which launchers (mpirun, srun, ...) give a process its rank: one table.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// Names of one launcher's environment variables, empty where it has none.
struct Launcher {
  std::string name;
  std::string local_rank;  ///< 0-based rank on this node
  std::string local_size;  ///< ranks on this node
  std::string rank;        ///< 0-based rank in the job
  std::string size;        ///< ranks of the job
};

/// Open MPI, MPICH and Intel MPI, MVAPICH, PALS, PMIx, Slurm: the first that is set counts.
std::vector<Launcher> const& launchers();

/// The first number in an environment variable: Slurm writes "4(x2)", OpenMP allows "4,2". Nothing
/// if the variable is not set or holds no number.
std::optional<int> number_in_environment(std::string const& variable);

}  // namespace torchml
