// Polynomials of several variables as nested sums, so that products of common factors are made
// once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "operators/products_kernel.hpp"

namespace torchml::operators {

/// How a kernel evaluates polynomials: see ProductNode.
struct ProductPlan {
  std::int64_t rows = 0;             ///< more than the largest row of a factor
  std::vector<ProductNode> nodes;    ///< one tree for each output, depth first
  std::vector<std::int32_t> leaves;  ///< rows, in the order of the nodes
  std::vector<std::int64_t> order;   ///< the term of each coefficient, as a kernel meets them
};

/// The plan of `count` terms, each of 1 + `degree` numbers: the output, and the rows of its factors
/// or -1. Made once for the same terms. Throws Error for terms that are none.
std::shared_ptr<ProductPlan const> product_plan(std::int32_t const* terms, std::int64_t count,
                                                std::int64_t degree, std::int64_t outputs);

}  // namespace torchml::operators
