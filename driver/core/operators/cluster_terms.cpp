#include "operators/cluster_terms.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using Numbers = std::vector<std::int32_t>;

SharedTerms share(Numbers const& terms, std::int64_t degree, std::int64_t outputs) {
  SharedTerms shared;
  std::map<Numbers, std::int64_t> known;
  Numbers monomials;
  std::vector<std::int64_t> monomial_of;
  for (auto term = terms.begin(); term != terms.end(); term += 1 + degree) {
    if (*term < 0 || *term >= outputs)
      throw Error("torchml::cluster_energies: a term belongs to output " + std::to_string(*term) +
                  ", expected 0 to " + std::to_string(outputs - 1));
    Numbers factors(term + 1, term + 1 + degree);
    std::sort(factors.begin(), factors.end());
    auto const [place, is_new] = known.emplace(factors, static_cast<std::int64_t>(known.size()));
    monomial_of.push_back(place->second);
    if (!is_new) continue;
    monomials.push_back(0);
    monomials.insert(monomials.end(), factors.begin(), factors.end());
  }
  shared.monomials = static_cast<std::int64_t>(known.size());
  shared.plan = product_plan(monomials.data(), shared.monomials, degree, 1);
  std::vector<std::int64_t> met(shared.monomials);
  for (std::int64_t k = 0; k < shared.monomials; ++k) met[shared.plan->order[k]] = k;
  for (std::size_t t = 0; t < monomial_of.size(); ++t)
    shared.places.push_back(met[monomial_of[t]] * outputs + terms[t * (1 + degree)]);
  return shared;
}

/// Models have few lists of terms; a program that makes more and more of them forgets all at once.
constexpr std::size_t kMostTerms = 64;

}  // namespace

std::shared_ptr<SharedTerms const> shared_terms(std::int32_t const* terms, std::int64_t count,
                                                std::int64_t degree, std::int64_t outputs) {
  using Key = std::pair<std::pair<std::int64_t, std::int64_t>, Numbers>;
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<SharedTerms const>> all;
  Key key{{degree, outputs}, {terms, terms + count * (1 + degree)}};
  std::lock_guard const lock(mutex);
  auto found = all.find(key);
  if (found == all.end()) {
    if (all.size() >= kMostTerms) all.clear();
    auto made = std::make_shared<SharedTerms const>(share(key.second, degree, outputs));
    found = all.emplace(std::move(key), std::move(made)).first;
  }
  return found->second;
}

}  // namespace torchml::operators
