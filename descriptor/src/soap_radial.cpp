#include "soap_radial.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "expansion.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

namespace torchml::descriptor {
namespace {

using Matrix = std::vector<std::vector<Expansion>>;

constexpr std::size_t quadrature = 100;

struct Node {
  long double x;
  long double weight;
};

/// Node i of the Gauss-Legendre rule: a zero of the Legendre polynomial, by Newton's method.
Node gauss_legendre(std::size_t i) {
  long double x = std::cos(std::numbers::pi_v<long double> * (static_cast<long double>(i) + 0.75L) /
                           (quadrature + 0.5L));
  long double slope = 1.0L;
  for (int step = 0; step < 10; ++step) {
    long double before = 1.0L;
    long double p = x;
    for (std::size_t l = 2; l <= quadrature; ++l) {
      auto const degree = static_cast<long double>(l);
      long double const next = ((2 * degree - 1) * x * p - (degree - 1) * before) / degree;
      before = p;
      p = next;
    }
    slope = quadrature * (x * p - before) / (x * x - 1);
    x -= p / slope;
  }
  return {x, 2.0L / ((1 - x * x) * slope * slope)};
}

Matrix overlaps(int n_max, double cutoff) {
  Expansion power = 1.0;
  for (int i = 0; i < 9; ++i) power = power * cutoff;
  std::vector<Expansion> by_sum;  // of a + b = 2, 3, ...
  for (int sum = 2; sum <= 2 * n_max; ++sum) {
    by_sum.push_back(2.0 * power / ((5.0 + sum) * (6.0 + sum) * (7.0 + sum)));
    power = power * cutoff;
  }
  auto const size = static_cast<std::size_t>(n_max);
  Matrix s(size, std::vector<Expansion>(size));
  for (std::size_t a = 0; a < size; ++a)
    for (std::size_t b = 0; b < size; ++b) s[a][b] = by_sum[a + b];
  return s;
}

/// S^(-1/2) of a positive definite matrix from its eigenvectors, by Jacobi's rotations.
Matrix inverse_root(Matrix s, double cutoff) {
  auto const size = s.size();
  Matrix vectors(size, std::vector<Expansion>(size));
  for (std::size_t i = 0; i < size; ++i) vectors[i][i] = 1.0;
  auto const diagonal = [&](std::size_t i) { return static_cast<double>(s[i][i]); };
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < 100; ++sweep) {
    rotated = false;
    for (std::size_t p = 0; p < size; ++p) {
      for (std::size_t q = p + 1; q < size; ++q) {
        // What is left mixes g_n by this fraction.
        if (!(std::abs(static_cast<double>(s[p][q])) >
              1e-22 * std::sqrt(diagonal(p)) * std::sqrt(diagonal(q))))
          continue;
        rotated = true;
        Expansion const theta = (s[q][q] - s[p][p]) / (2.0 * s[p][q]);
        Expansion const root = sqrt(theta * theta + 1.0);
        Expansion const t =
            static_cast<double>(theta) < 0.0 ? -1.0 / (root - theta) : 1.0 / (root + theta);
        Expansion const c = 1.0 / sqrt(t * t + 1.0);
        Expansion const sine = t * c;
        auto const rotate = [&](Expansion& x, Expansion& y) {
          Expansion const turned = c * x - sine * y;
          y = sine * x + c * y;
          x = turned;
        };
        for (std::size_t k = 0; k < size; ++k) rotate(s[k][p], s[k][q]);
        for (std::size_t k = 0; k < size; ++k) rotate(s[p][k], s[q][k]);
        for (std::size_t k = 0; k < size; ++k) rotate(vectors[k][p], vectors[k][q]);
      }
    }
  }
  double smallest = diagonal(0);
  double largest = diagonal(0);
  for (std::size_t i = 1; i < size; ++i) {
    smallest = std::min(smallest, diagonal(i));
    largest = std::max(largest, diagonal(i));
  }
  if (rotated || !(smallest > 0.0) || !(largest < 1e44 * smallest))
    throw Error("n_max is " + std::to_string(size) + " with a cutoff of " + shortest(cutoff) +
                " Å, expected fewer radial functions: these are not linearly independent");

  Matrix root(size, std::vector<Expansion>(size));
  for (std::size_t k = 0; k < size; ++k) {
    Expansion const scale = 1.0 / sqrt(s[k][k]);
    for (std::size_t a = 0; a < size; ++a)
      for (std::size_t b = 0; b < size; ++b)
        root[a][b] = root[a][b] + vectors[a][k] * vectors[b][k] * scale;
  }
  return root;
}

/// exp(-x) i_l(x), x >= 0, for l = 0..values.size()-1.
void scaled_bessel(long double x, std::vector<long double>& values) {
  auto const l_max = static_cast<long double>(values.size() - 1);
  values[0] = x > 0.0L ? -std::expm1(-2 * x) / (2 * x) : 1.0L;
  if (values.size() == 1) return;
  if (x > std::max(l_max * l_max, 1.0L)) {  // upwards errors grow by exp(l^2/x)
    values[1] = (0.5L * (1 + std::exp(-2 * x)) - values[0]) / x;
    for (std::size_t l = 1; l + 1 < values.size(); ++l)
      values[l + 1] = values[l - 1] - static_cast<long double>(2 * l + 1) / x * values[l];
    return;
  }
  // Downwards the ratios i_l/i_{l-1} forget where they started (J. C. P. Miller), from l to l_max
  // as exp(-(l^2 - l_max^2)/x).
  auto const start = static_cast<std::size_t>(l_max + 20.0L + std::sqrt(50.0L * x));
  long double ratio = 0.0L;
  for (std::size_t l = start; l > 0; --l) {
    ratio = x / (static_cast<long double>(2 * l + 1) + x * ratio);
    if (l < values.size()) values[l] = ratio;
  }
  for (std::size_t l = 1; l < values.size(); ++l) values[l] *= values[l - 1];
}

}  // namespace

SoapRadialIntegrals::SoapRadialIntegrals(int n_max, int l_max, double cutoff, double eta)
    : n_max_(static_cast<std::size_t>(n_max)), l_max_(static_cast<std::size_t>(l_max)), eta_(eta) {
  auto const root = inverse_root(overlaps(n_max, cutoff), cutoff);
  for (std::size_t q = 0; q < quadrature; ++q) {
    auto const [x, weight] = gauss_legendre(q);
    long double const node = 0.5L * (x + 1) * cutoff;
    nodes_.push_back(node);
    auto const high = static_cast<double>(node);
    Expansion const rest = Expansion(cutoff) - high - static_cast<double>(node - high);
    std::vector<Expansion> g(n_max_);
    Expansion power = rest * rest;
    for (std::size_t a = 0; a < n_max_; ++a) {
      power = power * rest;
      for (std::size_t n = 0; n < n_max_; ++n) g[n] = g[n] + root[n][a] * power;
    }
    for (auto const& value : g)
      weights_.push_back(weight * node * node * static_cast<long double>(value));
  }
}

void SoapRadialIntegrals::operator()(long double r, long double* values) const {
  std::fill(values, values + n_max_ * (l_max_ + 1), 0.0L);
  std::vector<long double> bessel(l_max_ + 1);
  for (std::size_t q = 0; q < quadrature; ++q) {
    long double const distance = r - nodes_[q];
    long double const exponent = eta_ * distance * distance;
    if (exponent > 100.0L) continue;
    scaled_bessel(2 * eta_ * nodes_[q] * r, bessel);
    long double const gaussian = std::exp(-exponent);
    for (std::size_t l = 0; l <= l_max_; ++l)
      for (std::size_t n = 0; n < n_max_; ++n)
        values[l * n_max_ + n] += weights_[q * n_max_ + n] * gaussian * bessel[l];
  }
}

}  // namespace torchml::descriptor
