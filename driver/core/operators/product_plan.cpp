#include "operators/product_plan.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

struct Monomial {
  std::int64_t term;
  std::vector<std::int32_t> factors;
};

[[noreturn]] void refuse(std::string const& what) {
  throw Error("torchml::products: " + what);
}

std::vector<std::vector<Monomial>> monomials_of(std::vector<std::int32_t> const& numbers,
                                                std::int64_t degree, std::int64_t outputs) {
  std::vector<std::vector<Monomial>> of_output(outputs);
  auto const width = static_cast<std::size_t>(1 + degree);
  for (std::size_t first = 0; first < numbers.size(); first += width) {
    auto const term = static_cast<std::int64_t>(first / width);
    auto const output = numbers[first];
    if (output < 0 || output >= outputs)
      refuse("term " + std::to_string(term) + " belongs to output " + std::to_string(output) +
             ", expected 0 to " + std::to_string(outputs - 1));
    Monomial monomial{term, {}};
    for (std::size_t k = first + 1; k < first + width; ++k) {
      if (numbers[k] < -1)
        refuse("term " + std::to_string(term) + " has the factor " + std::to_string(numbers[k]) +
               ", expected a row, or -1 for none");
      if (numbers[k] >= 0) monomial.factors.push_back(numbers[k]);
    }
    of_output[output].push_back(std::move(monomial));
  }
  return of_output;
}

/// The row that most monomials with several factors contain; -1 without such monomials.
std::int32_t most_frequent(std::vector<Monomial> const& monomials) {
  std::map<std::int32_t, int> count;
  for (auto const& [term, factors] : monomials) {
    if (factors.size() < 2) continue;
    for (std::size_t k = 0; k < factors.size(); ++k)
      if (std::find(factors.begin(), factors.begin() + k, factors[k]) == factors.begin() + k)
        ++count[factors[k]];
  }
  std::int32_t best = -1;
  for (auto const& [row, times] : count)
    if (best < 0 || times > count[best]) best = row;
  return best;
}

/// Divides the monomials that contain the row by it, and takes them out.
std::vector<Monomial> take_multiples(std::vector<Monomial>& monomials, std::int32_t row) {
  std::vector<Monomial> multiples, others;
  for (auto& monomial : monomials) {
    auto const found = std::find(monomial.factors.begin(), monomial.factors.end(), row);
    bool const contains = found != monomial.factors.end();
    if (contains) monomial.factors.erase(found);
    (contains ? multiples : others).push_back(std::move(monomial));
  }
  monomials = std::move(others);
  return multiples;
}

/// Greedy factoring (M. Ceberio and V. Kreinovich, ACM SIGSAM Bull. 38, 8 (2004)): as long as
/// there are products, the most frequent factor is put before a bracket.
void append_tree(ProductPlan& plan, std::int32_t row, std::vector<Monomial> monomials) {
  auto const place = plan.nodes.size();
  plan.nodes.push_back({row, 0, 0, 0});
  std::vector<std::pair<std::int32_t, std::vector<Monomial>>> children;
  for (auto next = most_frequent(monomials); next >= 0; next = most_frequent(monomials))
    children.emplace_back(next, take_multiples(monomials, next));
  std::stable_sort(monomials.begin(), monomials.end(),
                   [](auto const& one, auto const& two) { return one.factors < two.factors; });
  auto& node = plan.nodes[place];
  for (auto const& [term, factors] : monomials) {
    plan.order.push_back(term);
    if (factors.empty()) {
      ++node.own;
    } else {
      ++node.leaves;
      plan.leaves.push_back(factors[0]);
    }
  }
  node.children = static_cast<std::int32_t>(children.size());
  for (auto& [next, multiples] : children) append_tree(plan, next, std::move(multiples));
}

ProductPlan plan_of(std::vector<std::int32_t> const& numbers, std::int64_t degree,
                    std::int64_t outputs) {
  ProductPlan plan;
  for (auto& monomials : monomials_of(numbers, degree, outputs)) {
    for (auto const& monomial : monomials)
      for (auto const row : monomial.factors)
        plan.rows = std::max<std::int64_t>(plan.rows, row + 1);
    append_tree(plan, -1, std::move(monomials));
  }
  return plan;
}

/// Models have few lists of terms; a program that makes more and more of them forgets all at once.
constexpr std::size_t kKept = 256;

}  // namespace

std::shared_ptr<ProductPlan const> product_plan(std::int32_t const* terms, std::int64_t count,
                                                std::int64_t degree, std::int64_t outputs) {
  using Key = std::pair<std::pair<std::int64_t, std::int64_t>, std::vector<std::int32_t>>;
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<ProductPlan const>> plans;
  Key key{{degree, outputs}, {terms, terms + count * (1 + degree)}};
  std::lock_guard const lock(mutex);
  auto found = plans.find(key);
  if (found == plans.end()) {
    if (plans.size() >= kKept) plans.clear();
    auto plan = std::make_shared<ProductPlan const>(plan_of(key.second, degree, outputs));
    found = plans.emplace(std::move(key), std::move(plan)).first;
  }
  return found->second;
}

}  // namespace torchml::operators
