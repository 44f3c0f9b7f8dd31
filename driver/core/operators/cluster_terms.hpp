// Terms of several polynomials as one tree of the monomials that they have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "operators/product_plan.hpp"

namespace torchml::operators {

struct SharedTerms {
  std::shared_ptr<ProductPlan const> plan;  ///< of all monomials, as one polynomial
  std::int64_t monomials = 0;
  std::vector<std::int64_t> places;  ///< [terms]: that of its coefficient in [monomials, outputs]
};

/// Of `count` terms as `product_plan` takes them. Made once for the same terms. Throws Error for
/// terms that are none.
std::shared_ptr<SharedTerms const> shared_terms(std::int32_t const* terms, std::int64_t count,
                                                std::int64_t degree, std::int64_t outputs);

}  // namespace torchml::operators
