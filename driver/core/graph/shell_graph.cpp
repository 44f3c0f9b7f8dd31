#include "graph/shell_graph.hpp"

#include <numeric>

#include "graph/vector.hpp"
#include "host/parts.hpp"

namespace torchml {
namespace {

/// Targets that are worth a thread.
constexpr std::int64_t kTargetsOfPart = 256;

std::int64_t owner_of(std::span<int const> owners, int particle) {
  return owners.empty() ? particle : owners[particle];
}

}  // namespace

void ShellGraph::build(System const& system, CachedNeighbors const& lists,
                       std::span<double const> cutoffs, std::span<int const> owners) {
  nodes.clear();
  node_counts.clear();
  edge_counts.clear();
  node_of_.assign(system.size(), -1);
  offsets_.assign(1, 0);
  for (std::size_t i = 0; i < system.size(); ++i)
    if (system.contributing[i] != 0) number(static_cast<std::int64_t>(i));
  node_counts.push_back(static_cast<std::int64_t>(nodes.size()));
  std::int64_t begin = 0;
  for (double const cutoff : cutoffs) {
    auto const end = node_counts.back();
    add_edges(system, lists, cutoff, owners, begin, end);
    edge_counts.push_back(offsets_.back());
    node_counts.push_back(static_cast<std::int64_t>(nodes.size()));
    begin = end;
  }
}

/// Makes a node of a particle that is none.
void ShellGraph::number(std::int64_t particle) {
  if (node_of_[particle] >= 0) return;
  node_of_[particle] = static_cast<std::int64_t>(nodes.size());
  nodes.push_back(particle);
}

/// The edges into the targets begin .. end: they are counted, then written to their places.
void ShellGraph::add_edges(System const& system, CachedNeighbors const& lists, double cutoff,
                           std::span<int const> owners, std::int64_t begin, std::int64_t end) {
  auto const count = parts_for_threads(end - begin, kTargetsOfPart);
  if (parts_.size() < static_cast<std::size_t>(count)) parts_.resize(count);
  offsets_.resize(end + 1);
  for_parts(end - begin, count, [&](std::int64_t part, std::int64_t first, std::int64_t last) {
    find_near(system, lists, cutoff, begin + first, begin + last, parts_[part]);
  });
  std::partial_sum(offsets_.begin() + begin, offsets_.end(), offsets_.begin() + begin);
  auto const edges = offsets_.back();
  sources.resize(edges);
  targets.resize(edges);
  source_particles.resize(edges);
  vectors.resize(3 * edges);
  for_parts(end - begin, count, [&](std::int64_t part, std::int64_t first, std::int64_t last) {
    write_edges(system, owners, begin + first, begin + last, parts_[part]);
  });
  for (std::int64_t part = 0; part < count; ++part)  // in the order of the edges
    for (int const owner : parts_[part].fresh) number(owner);
  auto const before = offsets_[begin];
  for_parts(edges - before, count, [&](std::int64_t /*part*/, std::int64_t from, std::int64_t to) {
    for (auto e = before + from; e < before + to; ++e)
      sources[e] = node_of_[owner_of(owners, source_particles[e])];
  });
}

/// Keeps the near pairs of the targets begin .. end, and their numbers behind the place of each
/// target in `offsets_`.
void ShellGraph::find_near(System const& system, CachedNeighbors const& lists, double cutoff,
                           std::int64_t begin, std::int64_t end, Part& part) {
  double const square = cutoff * cutoff;
  std::size_t found = 0;
  for (auto target = begin; target < end; ++target) {
    int const particle = static_cast<int>(nodes[target]);
    auto const at = position(system, particle);
    auto const list = lists.neighbors(particle);
    if (part.near.size() < found + list.size()) part.near.resize(2 * (found + list.size()));
    int* const near = part.near.data() + found;
    std::size_t count = 0;
    for (int const j : list) {  // without a branch, which a processor could not foresee
      auto const between = position(system, j) - at;
      near[count] = j;
      count += dot(between, between) < square ? 1 : 0;
    }
    offsets_[target + 1] = static_cast<std::int64_t>(count);
    found += count;
  }
}

/// Writes the edges of `part`, their sources excepted, which may not be nodes yet.
void ShellGraph::write_edges(System const& system, std::span<int const> owners, std::int64_t begin,
                             std::int64_t end, Part& part) {
  part.fresh.clear();
  int const* near = part.near.data();
  for (auto target = begin; target < end; ++target) {
    auto const at = position(system, static_cast<int>(nodes[target]));
    for (auto e = offsets_[target]; e < offsets_[target + 1]; ++e) {
      int const j = *near++;
      auto const between = position(system, j) - at;
      targets[e] = target;
      source_particles[e] = j;
      for (int axis = 0; axis < 3; ++axis) vectors[3 * e + axis] = between[axis];
      auto const owner = owner_of(owners, j);
      if (node_of_[owner] < 0) part.fresh.push_back(static_cast<int>(owner));
    }
  }
}

}  // namespace torchml
