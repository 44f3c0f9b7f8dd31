#include "operators/element_shares.hpp"

#include <algorithm>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::operators {

ElementShares::ElementShares(char const* name, std::int64_t const* elements, std::int64_t count,
                             std::int64_t taken, std::int64_t kinds, std::int64_t size)
    : atoms_(taken) {
  std::vector<std::int64_t> ends(kinds + 1, 0);
  for (std::int64_t atom = 0; atom < count; ++atom) {
    if (elements[atom] < 0 || elements[atom] >= kinds)
      throw Error(std::string("torchml::") + name + ": atom " + std::to_string(atom) +
                  " has element " + std::to_string(elements[atom]) + ", expected 0 to " +
                  std::to_string(kinds - 1));
    if (atom < taken) ++ends[elements[atom] + 1];
  }
  for (std::int64_t kind = 0; kind < kinds; ++kind) ends[kind + 1] += ends[kind];
  auto next = ends;
  for (std::int64_t atom = 0; atom < taken; ++atom) atoms_[next[elements[atom]]++] = atom;
  for (std::int64_t kind = 0; kind < kinds; ++kind)
    for (auto first = ends[kind]; first < ends[kind + 1]; first += size)
      all.push_back({static_cast<std::int64_t>(all.size()), kind, atoms_.data() + first,
                     std::min(size, ends[kind + 1] - first)});
}

}  // namespace torchml::operators
