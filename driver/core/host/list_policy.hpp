// What a user permits simulators to leave out of neighbour lists.
#pragma once

namespace torchml {

/// What is done where neighbour lists lack particles within the cutoff.
enum class ListPolicy {
  complete,  ///< it is an error
  excluded,  ///< particles that list none, or their images alone, are left out; else an error
  as_given   ///< lists are not checked
};

}  // namespace torchml
