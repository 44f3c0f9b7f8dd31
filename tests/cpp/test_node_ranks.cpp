#include <gtest/gtest.h>

#include <cstdlib>

#include "node_ranks.hpp"

namespace torchml {
namespace {

class NodeRanksTest : public testing::Test {
 protected:
  void SetUp() override {
    for (auto const* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
                             "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_RANK",
                             "MV2_COMM_WORLD_LOCAL_SIZE", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE",
                             "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "OMP_NUM_THREADS"})
      unsetenv(name);
  }
};

TEST_F(NodeRanksTest, ReadEveryLauncher) {
  EXPECT_EQ(node_ranks().local_rank, 0);
  EXPECT_EQ(node_ranks().local_size, 1);
  setenv("SLURM_LOCALID", "3", 1);
  setenv("SLURM_STEP_TASKS_PER_NODE", "4(x2)", 1);
  EXPECT_EQ(node_ranks().local_rank, 3);
  EXPECT_EQ(node_ranks().local_size, 4);
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  EXPECT_EQ(node_ranks().local_rank, 1);
  EXPECT_EQ(node_ranks().local_size, 2);
}

TEST_F(NodeRanksTest, ThreadsNeverOversubscribe) {
  int const alone = default_threads({0, 1});
  EXPECT_GE(alone, 1);
  for (int size = 1; size <= 64; size *= 2)
    EXPECT_LE(default_threads({0, size}) * size, std::max(alone, size)) << size << " ranks";
}

TEST_F(NodeRanksTest, TheUserDecides) {
  setenv("OMP_NUM_THREADS", "7", 1);
  EXPECT_EQ(default_threads({0, 4}), 7);
  setenv("OMP_NUM_THREADS", "3,2", 1);
  EXPECT_EQ(default_threads({0, 1}), 3);
}

}  // namespace
}  // namespace torchml
