#include "fuzz_neighbors.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "broken_promise.hpp"
#include "graph/cached_neighbors.hpp"
#include "graph/ghost_folding.hpp"
#include "graph/shell_graph.hpp"
#include "periodic.hpp"
#include "torchml/common/error.hpp"

namespace torchml::fuzz {
namespace {

constexpr double cutoff = 2.2;  // Å
constexpr double range = 2.6;   // Å, of the lists
constexpr int layers = 3;

/// Numbers from the input; zeros at its end.
class Bytes {
 public:
  explicit Bytes(std::span<std::uint8_t const> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    auto const first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
  }
  double fraction() { return byte() / 256.0; }
  std::size_t below(std::size_t count) {
    return (byte() | static_cast<std::size_t>(byte()) << 8) % count;
  }

 private:
  std::span<std::uint8_t const> bytes_;
};

test::PeriodicSystem read_system(Bytes& bytes) {
  test::PeriodicSystem system;
  for (int axis = 0; axis < 3; ++axis) {
    system.box[axis][axis] = 3.0 + 3.0 * bytes.fraction();
    system.periodic[axis] = bytes.byte() % 8 != 0;
  }
  auto const atoms = 2 + bytes.below(5);
  for (std::size_t i = 0; i < atoms; ++i) {
    for (int axis = 0; axis < 3; ++axis)
      system.atoms.push_back(bytes.fraction() * system.box[axis][axis]);
    system.atom_species.push_back(bytes.byte() % 2);
  }
  system.surround(layers * range, range);
  return system;
}

/// One step.
void change(test::PeriodicSystem& system, Bytes& bytes) {
  auto const particles = system.species.size();
  auto const what = bytes.byte();
  switch (what % 10) {
    case 0:  // nothing
      break;
    case 1:
    case 2:
    case 3:
      system.move(0.02 * bytes.fraction(), bytes.byte());
      break;
    case 4: {  // one particle alone
      static constexpr double lengths[] = {1e-12, 1e-9, 1e-6, 1e-3, 0.02, 0.3};
      auto const place = bytes.below(3 * particles);
      system.coordinates[place] += lengths[bytes.byte() % 6];
      break;
    }
    case 5:
      system.list(range);
      break;
    case 6: {  // a wrong list: one neighbour in the place of another
      if (system.lists.empty()) break;
      auto const place = bytes.below(system.lists.size());
      system.lists[place] = static_cast<int>(bytes.below(particles));
      break;
    }
    case 7: {
      auto const ghost = bytes.below(particles);
      system.species[ghost] = 1 - system.species[ghost];
      break;
    }
    case 8: {
      auto const particle = bytes.below(particles);
      system.contributing[particle] = 1 - system.contributing[particle];
      break;
    }
    default:  // the cell deforms
      for (int axis = 0; axis < 3; ++axis)
        system.box[axis][bytes.byte() % 3] += 0.01 * bytes.fraction();
      system.place();
  }
}

/// Messages that depend on distances, directions and species, as in test_ghost_folding.cpp.
std::vector<double> energies(System const& system, ShellGraph const& graph) {
  std::vector<double> features;
  for (auto const node : graph.nodes) features.push_back(1.0 + 0.3 * system.species[node]);
  for (int layer = 0; layer < layers; ++layer) {
    auto const edges = static_cast<std::size_t>(graph.edge_counts[layers - 1 - layer]);
    std::vector<std::array<double, 4>> sums(features.size());
    for (std::size_t e = 0; e < edges; ++e) {
      double const* const vector = &graph.vectors[3 * e];
      double const squared = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
      double const near = 1.0 - squared / (cutoff * cutoff);
      double const message = features[graph.sources[e]] * near * near * near;
      auto& sum = sums[graph.targets[e]];
      sum[0] += message;
      for (int axis = 0; axis < 3; ++axis) sum[1 + axis] += vector[axis] * message;
    }
    for (std::size_t n = 0; n < features.size(); ++n) {
      auto const& [s, x, y, z] = sums[n];
      features[n] = std::tanh(0.5 * features[n] + 0.2 * s + 0.1 * (x * x + y * y + z * z));
    }
  }
  features.resize(static_cast<std::size_t>(graph.node_counts[0]));
  return features;
}

std::vector<double> energies_from_scratch(System const& system) {
  CachedNeighbors lists;
  lists.rebuild(system, cutoff, layers);
  ShellGraph graph;
  graph.build(system, lists, cutoff, layers);
  return energies(system, graph);
}

/// Follows a system as the engine does.
class Follower {
 public:
  explicit Follower(Folding folding) : folding_(folding) {}

  /// Whether images were folded.
  bool compare(System const& system) {
    std::vector<double> found;
    std::vector<double> expected;
    bool refused = false;
    bool folded = false;
    try {
      expected = energies_from_scratch(system);
    } catch (Error const&) {
      refused = true;
    }
    try {
      bool const renewed = lists_.rebuild(system, cutoff, layers);
      auto const owners = folding_.owners(system, lists_, renewed, cutoff);
      graph_.build(system, lists_, cutoff, layers, owners);
      folded = !owners.empty();
      found = energies(system, graph_);
    } catch (Error const&) {
      if (!refused) break_promise("lists are refused that are accepted from scratch");
      return false;
    }
    if (refused) break_promise("lists are accepted that are refused from scratch");
    if (found.size() != expected.size())
      break_promise("the number of contributing particles differs");
    for (std::size_t i = 0; i < found.size(); ++i)
      if (!(std::abs(found[i] - expected[i]) < 1e-8)) break_promise("an energy differs");
    return folded;
  }

 private:
  CachedNeighbors lists_;
  GhostFolding folding_;
  ShellGraph graph_;
};

}  // namespace

std::size_t try_neighbors(std::span<std::uint8_t const> input) {
  Bytes bytes(input);
  auto system = read_system(bytes);
  Follower one_rank(Folding::one_rank);
  Follower several_ranks(Folding::several_ranks);
  std::size_t folded = 0;
  for (int step = 0; step < 24 && (step == 0 || !bytes.empty()); ++step) {
    if (step > 0) change(system, bytes);
    folded += one_rank.compare(system.view()) ? 1 : 0;
    folded += several_ranks.compare(system.view()) ? 1 : 0;
  }
  return folded;
}

}  // namespace torchml::fuzz

#ifdef TORCHML_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  torchml::fuzz::try_neighbors({data, size});
  return 0;
}
#endif
