// Small stages by hand; test_shell_graph.cpp compares random ones with their definition.
#include <gtest/gtest.h>

#include "graph/staged_graph.hpp"
#include "support.hpp"

namespace torchml::test::staged_graph_tests {
namespace {

/// Particles 1 Å apart on a line, of which the first contributes.
Particles chain(int count) {
  Particles particles;
  for (int i = 0; i < count; ++i) {
    particles.coordinates.insert(particles.coordinates.end(), {1.0 * i, 0.0, 0.0});
    particles.species.push_back(0);
    particles.contributing.push_back(i == 0 ? 1 : 0);
  }
  particles.list_neighbors(1.6);
  return particles;
}

std::vector<EdgeIndex> stages_of(Particles const& particles, int layers, bool directed) {
  std::vector<EdgeIndex> stages;
  stage_edges(shell_graph(particles.view(), 1.5, layers), directed, stages);
  return stages;
}

TEST(StagedGraph, DirectedEdgesPointIntoTheShells) {
  auto const stages = stages_of(chain(4), 2, true);
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0], (EdgeIndex{1, 0}));              // 1 -> 0
  EXPECT_EQ(stages[1], (EdgeIndex{1, 0, 2, 0, 1, 1}));  // and 0 -> 1, 2 -> 1
}

TEST(StagedGraph, SymmetricEdgesHaveTheirReverse) {
  auto const stages = stages_of(chain(4), 2, false);
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0], (EdgeIndex{1, 0, 0, 1}));
  EXPECT_EQ(stages[1], (EdgeIndex{1, 0, 2, 1, 0, 1, 1, 2}));
}

TEST(StagedGraph, LonelyAtomsHaveEmptyStages) {
  for (bool const directed : {true, false})
    EXPECT_EQ(stages_of(chain(1), 3, directed), std::vector<EdgeIndex>(3));
}

TEST(StagedGraph, StagesOfAnEarlierGraphAreReplaced) {
  std::vector<EdgeIndex> stages(5, EdgeIndex{7, 7});
  stage_edges(shell_graph(chain(3).view(), 1.5, 1), true, stages);
  EXPECT_EQ(stages, (std::vector<EdgeIndex>{{1, 0}}));
}

}  // namespace
}  // namespace torchml::test::staged_graph_tests
