#include "radial_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml::descriptor {
namespace {

constexpr std::size_t terms = RadialPieces::terms;
using Matrix = std::array<std::array<long double, terms>, terms>;

std::array<long double, terms> chebyshev_nodes() {
  std::array<long double, terms> nodes{};
  for (std::size_t i = 0; i < terms; ++i)
    nodes[i] =
        std::cos(std::numbers::pi_v<long double> * (static_cast<long double>(i) + 0.5L) / terms);
  return nodes;
}

/// Row k: coefficients of the Chebyshev polynomial T_k in powers of t.
Matrix chebyshev_polynomials() {
  Matrix powers{};
  powers[0][0] = powers[1][1] = 1.0L;
  for (std::size_t k = 2; k < terms; ++k)
    for (std::size_t p = 0; p <= k; ++p)
      powers[k][p] = (p > 0 ? 2.0L * powers[k - 1][p - 1] : 0.0L) - powers[k - 2][p];
  return powers;
}

/// Row k: the weights of values at the nodes in the coefficient of T_k.
Matrix chebyshev_weights(std::array<long double, terms> const& nodes) {
  Matrix weights{};
  for (std::size_t i = 0; i < terms; ++i)
    for (std::size_t k = 0; k < terms; ++k)
      weights[k][i] = (k == 0 ? 1.0L : 2.0L) / terms *
                      std::cos(static_cast<long double>(k) * std::acos(nodes[i]));
  return weights;
}

}  // namespace

RadialTable::RadialTable(Functions const& functions, std::size_t count, double end)
    : lines_((count + padding - 1) / padding), end_(end) {
  auto const nodes = chebyshev_nodes();
  auto const weights = chebyshev_weights(nodes);
  auto const polynomials = chebyshev_polynomials();
  // The error of a piece is about a tenth of its last coefficient, that of the derivative up to
  // terms^2 times as much.
  constexpr long double allowed = 1e-16L;
  constexpr std::size_t most = 2000;
  long double error_before = std::numeric_limits<long double>::infinity();
  for (std::size_t pieces = 4;;) {
    std::vector<long double> largest(count, 0.0L);
    std::vector<long double> last(count, 0.0L);
    std::vector<long double> values(terms * count);
    coefficients_.assign(pieces * terms * lines_, Line{});
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      for (std::size_t i = 0; i < terms; ++i)
        functions((static_cast<long double>(piece) + 0.5L * (nodes[i] + 1.0L)) * end /
                      static_cast<long double>(pieces),
                  &values[i * count]);
      for (std::size_t f = 0; f < count; ++f) {
        std::array<long double, terms> powers{};
        for (std::size_t k = 0; k < terms; ++k) {
          long double coefficient = 0.0L;
          for (std::size_t i = 0; i < terms; ++i)
            coefficient += weights[k][i] * values[i * count + f];
          if (k + 1 == terms) last[f] = std::max(last[f], std::abs(coefficient));
          for (std::size_t p = 0; p <= k; ++p) powers[p] += polynomials[k][p] * coefficient;
        }
        for (std::size_t i = 0; i < terms; ++i)
          largest[f] = std::max(largest[f], std::abs(values[i * count + f]));
        for (std::size_t c = 0; c < terms; ++c)
          coefficients_[(piece * terms + c) * lines_ + f / padding].values[f % padding] =
              static_cast<double>(powers[terms - 1 - c]);
      }
    }
    pieces_ = pieces;
    long double error = 0.0L;
    for (std::size_t f = 0; f < count; ++f)
      if (largest[f] > 0.0L) error = std::max(error, last[f] / largest[f]);
    if (error <= allowed) return;
    // Where long double is no better than double the noise of the values is met before.
    if (error < 1e-14L && error > 0.5L * error_before) return;
    if (pieces > most)
      throw Error("the radial functions vary too quickly for a table up to " + shortest(end) +
                  " Å, expected wider or fewer of them");
    error_before = error;
    // The last coefficient goes as the length of a piece to this power.
    long double const growth = std::pow(error / allowed, 1.0L / (terms - 1));
    pieces = static_cast<std::size_t>(
        std::ceil(static_cast<long double>(pieces) * std::clamp(growth, 1.05L, 3.0L)));
  }
}

RadialPieces RadialTable::pieces() const {
  return {coefficients_.front().values.data(), lines_ * padding, static_cast<double>(pieces_),
          static_cast<double>(pieces_) / end_};
}

}  // namespace torchml::descriptor
