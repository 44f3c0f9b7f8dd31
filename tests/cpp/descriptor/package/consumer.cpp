// Descriptors of a dimer, and the forces of their sum.
#include <cmath>
#include <cstdio>
#include <torchml/descriptor/compute.hpp>
#include <torchml/descriptor/parameters.hpp>
#include <vector>

int main() {
  using namespace torchml::descriptor;
  auto const descriptor = make_descriptor(XiParameters{{{"Si"}, 5.0}, 2, 5.0});
  std::vector<double> const positions = {0.0, 0.0, 0.0, 0.0, 0.0, 2.4};
  std::vector<int> const species = {0, 0};
  std::vector<int> const centers = {0, 1};
  std::vector<std::int64_t> const offsets = {0, 1, 2};
  std::vector<int> const neighbors = {1, 0};
  Atoms const atoms{positions, species, centers, offsets, neighbors};

  std::vector<double> values(2 * descriptor->width());
  compute(*descriptor, atoms, values);
  std::vector<double> gradient(6);
  std::vector<double> const cotangent(values.size(), 1.0);
  pull_back(*descriptor, atoms, cotangent, {.positions = gradient});
  std::printf("%zu numbers per atom, the first %g, d/dz %g\n", descriptor->width(), values[0],
              gradient[5]);
  bool const right = descriptor->width() == 9 && std::abs(gradient[2] + gradient[5]) < 1e-12 &&
                     std::abs(gradient[5]) > 1e-3;
  return right ? 0 : 1;
}
