#include "graph/image_proof.hpp"

#include <algorithm>
#include <cstddef>

#include "graph/surroundings.hpp"

namespace torchml {

bool prove_images(System const& system, CachedNeighbors const& neighbors, double tolerance,
                  std::vector<Image>& images, std::span<int> owners) {
  std::vector<char> proved(images.size(), 1);
  auto const check = [&](std::size_t begin, std::size_t end, std::span<int const> by_owners) {
    bool changed = false;
    for (auto k = begin; k < end; ++k) {
      int const particle = images[k].particle;
      if (proved[k] == 0 ||
          same_surroundings(system, neighbors, tolerance, particle, images[k].owner, by_owners))
        continue;
      proved[k] = 0;
      owners[particle] = particle;
      changed = true;
    }
    return changed;
  };
  // Images are in the order of reached(): of few hops first.
  auto const images_within = [&](int hops) {
    auto const end =
        std::ranges::lower_bound(images, neighbors.reached_within(hops), {}, &Image::place);
    return static_cast<std::size_t>(end - images.begin());
  };
  auto const inner = images_within(neighbors.layers() - 2);
  check(inner, images_within(neighbors.layers() - 1), {});
  constexpr int patience = 16;  // a pass for each hop that a contradiction spreads
  int passes = 0;
  while (check(0, inner, owners))
    if (++passes == patience) return false;

  std::size_t kept = 0;
  for (std::size_t k = 0; k < images.size(); ++k)
    if (proved[k] != 0) images[kept++] = images[k];
  images.resize(kept);
  return !images.empty();
}

}  // namespace torchml
