#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#ifdef __linux__
#include <sched.h>
#endif

#include "host/node_ranks.hpp"

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

TEST_F(NodeRanksTest, WhatIsUsedFitsOnTheNode) {
  int const alone = threads_that_fit({0, 1});
  EXPECT_EQ(alone, default_threads({0, 1}));
  setenv("OMP_NUM_THREADS", "1", 1);
  EXPECT_EQ(threads_that_fit({0, 1}), 1) << "fewer threads are the host's right";
  setenv("OMP_NUM_THREADS", "100000", 1);
  for (int size = 1; size <= 64; size *= 2)
    EXPECT_LE(threads_that_fit({0, size}) * size, std::max(alone, size)) << size << " ranks";
}

#ifdef __linux__
TEST_F(NodeRanksTest, ABoundRankKeepsToItsCores) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  setenv("OMP_NUM_THREADS", "2", 1);
  EXPECT_EQ(threads_that_fit({0, 1}), 1) << "mpirun --bind-to core";
  EXPECT_EQ(threads_that_fit({0, 2}), 1);
  sched_setaffinity(0, sizeof before, &before);
}
#endif

}  // namespace
}  // namespace torchml
