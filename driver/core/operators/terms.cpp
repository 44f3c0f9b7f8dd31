#include "operators/terms.hpp"

#include <algorithm>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::operators {

Shape::Shape(std::vector<std::int64_t> const& numbers, char const* name) {
  auto const refuse_terms = [name](std::string const& what) {
    throw Error("torchml::" + std::string(name) + ": " + what);
  };
  if (numbers.empty() || numbers.size() % 4 != 0)
    refuse_terms("there are " + std::to_string(numbers.size()) +
                 " numbers of terms, expected four for each");
  for (std::size_t k = 0; k < numbers.size(); k += 4) {
    Term const term{numbers[k], numbers[k + 1], numbers[k + 2], numbers[k + 3]};
    if (std::min({term.out, term.in, term.part}) < 0 || term.factor < -1)
      refuse_terms("a term has a negative row or part, expected numbers from 0");
    rows_out = std::max(rows_out, term.out + 1);
    rows_in = std::max(rows_in, term.in + 1);
    parts = std::max(parts, term.part + 1);
    factors = std::max(factors, term.factor + 1);
    terms.push_back(term);
  }
}

}  // namespace torchml::operators
