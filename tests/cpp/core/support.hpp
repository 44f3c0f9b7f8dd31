// Small systems and small models for the tests.
#pragma once

#include <torch/script.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "graph/shell_graph.hpp"
#include "potential.hpp"
#include "system.hpp"
#include "torchml/common/error.hpp"

namespace torchml::test {

namespace fs = std::filesystem;

/// A folder of its own for the running test, removed afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "torchml-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;

  [[nodiscard]] fs::path operator/(std::string const& name) const { return path_ / name; }

  fs::path write(std::string const& name, std::string const& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  fs::path path_;
};

/// Particles with their lists: all others within `range`, in ascending order.
struct Particles : NeighborSource {
  std::vector<double> coordinates;
  std::vector<int> species;
  std::vector<int> contributing;
  std::vector<std::vector<int>> lists;

  [[nodiscard]] std::span<int const> neighbors(int particle) const override {
    return lists[particle];
  }

  [[nodiscard]] System view() const { return {species, coordinates, contributing, this}; }

  [[nodiscard]] double distance(int i, int j) const {
    return std::hypot(coordinates[3 * j] - coordinates[3 * i],
                      coordinates[3 * j + 1] - coordinates[3 * i + 1],
                      coordinates[3 * j + 2] - coordinates[3 * i + 2]);
  }

  void list_neighbors(double range) {
    auto const count = static_cast<int>(species.size());
    lists.assign(count, {});
    for (int i = 0; i < count; ++i)
      for (int j = 0; j < count; ++j)
        if (i != j && distance(i, j) <= range) lists[i].push_back(j);
  }
};

/// `count` particles at random in a cube of `side` Å, at least 0.7 Å apart, `ghosts` of them (at
/// random places in the order) not contributing.
inline Particles random_particles(int count, double side, int ghosts, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> place(0.0, side);
  Particles particles;
  while (static_cast<int>(particles.species.size()) < count) {
    double const x[3] = {place(random), place(random), place(random)};
    particles.coordinates.insert(particles.coordinates.end(), x, x + 3);
    particles.species.push_back(static_cast<int>(particles.species.size()) % 2);
    auto const last = static_cast<int>(particles.species.size()) - 1;
    for (int i = 0; i < last; ++i) {
      if (particles.distance(i, last) > 0.7) continue;
      particles.coordinates.resize(3 * last);
      particles.species.pop_back();
      break;
    }
  }
  particles.contributing.assign(count, 1);
  for (int g = 0; g < ghosts;) {
    auto& flag = particles.contributing[std::uniform_int_distribution<int>(0, count - 1)(random)];
    if (flag == 0) continue;
    flag = 0;
    ++g;
  }
  return particles;
}

/// The graph of a system's own lists.
inline ShellGraph shell_graph(System const& system, double cutoff, int layers) {
  CachedNeighbors lists;
  lists.rebuild(system, cutoff, layers);
  ShellGraph graph;
  graph.build(system, lists, cutoff, layers);
  return graph;
}

/// Writes a module with one method forward, a float64 parameter `w` = 1, and metadata.
inline fs::path write_model(TemporaryFolder const& folder, std::string const& forward,
                            std::map<std::string, std::string> const& metadata,
                            torch::ScalarType dtype = torch::kFloat64) {
  torch::jit::Module module("model");
  module.register_parameter("w", torch::ones({1}, dtype), false);
  module.define(forward);
  torch::jit::ExtraFilesMap extra;
  for (auto const& [key, value] : metadata) extra["torchml/" + key] = value;
  auto const path = folder / "model.pt";
  module.save(path.string(), extra);
  return path;
}

/// Symmetry functions for Si and O with a cutoff of 2 Å, as KLIFF writes them.
inline std::string const symmetry_functions =
    "cos  # cutoff type\n\n2  # number of species\n\n"
    "Si  Si  2.0\nSi  O  1.8\nO  Si  1.8\nO  O  2.0\n\n2  # number of types\n\n"
    "g2  2  2\n0.5  0.0\n2.0  1.0\n\ng4  2  3\n1  -1  0.1\n2  1  0.3\n\n"
    "center_and_normalize  True\n\n4\n0.0\n1.0\n";

/// Message of the Error that `action` throws, or "" if it throws none.
template <class Action>
std::string error_of(Action const& action) {
  try {
    action();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

inline bool contains(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace torchml::test
