// Every particle within n hops of the contributing ones, and the edges between them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/cached_neighbors.hpp"
#include "system.hpp"

namespace torchml {

/// Nodes are the particles reached in at most n hops, sorted by shell (shell k is reached in k
/// hops, shell 0 are the contributing particles). Edges point into every node whose features a
/// message-passing model of n layers needs, sorted by the shell of their target. So layer l of n
/// works on the first edge_counts[n - 1 - l] edges and produces the first node_counts[n - 1 - l]
/// nodes. The order follows from the particles and their lists alone.
///
/// Particles may share an owner (see ImageMap): then the owners are the nodes. An edge comes from
/// the node of its source's owner, but has the vector of the source.
struct ShellGraph {
  std::vector<std::int64_t> nodes;        ///< [M] particle of each node
  std::vector<std::int64_t> sources;      ///< [E] node index
  std::vector<std::int64_t> targets;      ///< [E] node index
  std::vector<int> source_particles;      ///< [E] particle at the source
  std::vector<double> vectors;            ///< [3 E] x_source - x_target, Å
  std::vector<std::int64_t> node_counts;  ///< [n + 1] nodes in shells 0..k
  std::vector<std::int64_t> edge_counts;  ///< [n] edges into shells 0..k

  /// Rebuilds the graph with the pairs closer than cutoffs[k] (Å) of the nodes in shell k, which
  /// `lists` must hold; reads each list once and takes time linear in their lengths. `owners` [N]
  /// may be empty: each particle owns itself. Threads share the work; the graph does not depend on
  /// their number.
  void build(System const& system, CachedNeighbors const& lists, std::span<double const> cutoffs,
             std::span<int const> owners = {});

  /// The same with one cutoff for all layers.
  void build(System const& system, CachedNeighbors const& lists, double cutoff, int layers,
             std::span<int const> owners = {}) {
    build(system, lists, std::vector<double>(static_cast<std::size_t>(layers), cutoff), owners);
  }

 private:
  /// What one thread finds.
  struct Part {
    std::vector<int> near;   ///< sources of the edges into its targets, in their order
    std::vector<int> fresh;  ///< owners of sources that are no nodes yet, with repetitions
  };

  void number(std::int64_t particle);
  void add_edges(System const& system, CachedNeighbors const& lists, double cutoff,
                 std::span<int const> owners, std::int64_t begin, std::int64_t end);
  void find_near(System const& system, CachedNeighbors const& lists, double cutoff,
                 std::int64_t begin, std::int64_t end, Part& part);
  void write_edges(System const& system, std::span<int const> owners, std::int64_t begin,
                   std::int64_t end, Part& part);

  std::vector<std::int64_t> node_of_;  ///< [N] node of each particle or -1
  std::vector<std::int64_t> offsets_;  ///< [targets + 1] of the edges into each
  std::vector<Part> parts_;
};

}  // namespace torchml
