// A particle that is the image of another.
#pragma once

#include <cstddef>

namespace torchml {

struct Image {
  int particle;
  int owner;
  int translation;    ///< of the owner to the image, an index into the list of translations
  std::size_t place;  ///< of the particle in CachedNeighbors::reached()
};

}  // namespace torchml
