#include "graph/image_proof.hpp"

#include <algorithm>
#include <cstddef>

#include "graph/surroundings.hpp"

namespace torchml {

bool prove_images(System const& system, CachedNeighbors const& neighbors, double tolerance,
                  std::vector<Image>& images, std::span<int> owners) {
  std::vector<char> proved(images.size(), 1);
  // Images are in the order of reached(): those with lists first.
  auto const listed = static_cast<std::size_t>(
      std::ranges::lower_bound(images, neighbors.listed(), {}, &Image::place) - images.begin());
  auto const check = [&] {
    bool changed = false;
    for (std::size_t k = 0; k < listed; ++k) {
      int const particle = images[k].particle;
      if (proved[k] == 0 ||
          same_surroundings(system, neighbors, tolerance, particle, images[k].owner, owners))
        continue;
      proved[k] = 0;
      owners[particle] = particle;
      changed = true;
    }
    return changed;
  };
  constexpr int patience = 16;  // a pass for each hop that a contradiction spreads
  int passes = 0;
  while (check())
    if (++passes == patience) return false;

  std::size_t kept = 0;
  for (std::size_t k = 0; k < images.size(); ++k)
    if (proved[k] != 0) images[kept++] = images[k];
  images.resize(kept);
  return !images.empty();
}

}  // namespace torchml
