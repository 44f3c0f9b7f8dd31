#include "host/launchers.hpp"

#include <cstdlib>
#include <string_view>

#include "torchml/common/text.hpp"

namespace torchml {

std::vector<Launcher> const& launchers() {
  static std::vector<Launcher> const all = {
      {"Open MPI", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
       "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
      {"MPICH, Intel MPI", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_RANK", "PMI_SIZE"},
      {"MVAPICH", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_RANK",
       "MV2_COMM_WORLD_SIZE"},
      {"PALS", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE", "PALS_RANKID", "PALS_SIZE"},
      {"PMIx", "", "", "PMIX_RANK", "PMIX_SIZE"},
      {"Slurm", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID",
       "SLURM_STEP_NUM_TASKS"},
  };
  return all;
}

std::optional<int> number_in_environment(std::string const& variable) {
  char const* const text = std::getenv(variable.c_str());
  if (text == nullptr) return std::nullopt;
  std::string_view value = text;
  value = value.substr(0, value.find_first_of("(,"));
  return parse_number<int>(trim(value));
}

}  // namespace torchml
