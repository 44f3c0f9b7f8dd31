// Numbers with some 60 decimal digits, for the few things that double cannot: sums of four doubles
// that do not overlap (J. R. Shewchuk, Discrete Comput. Geom. 18, 305 (1997)).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace torchml::descriptor {

class Expansion {
 public:
  Expansion(double value = 0.0) : parts_{value, 0.0, 0.0, 0.0} {}

  /// The nearest double, and a long double that is at least as near.
  explicit operator double() const { return parts_[0]; }
  explicit operator long double() const {
    return static_cast<long double>(parts_[0]) + static_cast<long double>(parts_[1]);
  }

  friend Expansion operator-(Expansion const& a) {
    Expansion negative;
    for (std::size_t i = 0; i < size; ++i) negative.parts_[i] = -a.parts_[i];
    return negative;
  }
  friend Expansion operator+(Expansion const& a, Expansion const& b) {
    std::array<double, 2 * size> terms{};
    for (std::size_t i = 0; i < size; ++i) {
      terms[2 * i] = a.parts_[i];
      terms[2 * i + 1] = b.parts_[i];
    }
    return Expansion(terms);
  }
  friend Expansion operator-(Expansion const& a, Expansion const& b) { return a + -b; }
  friend Expansion operator*(Expansion const& a, Expansion const& b) {
    std::array<double, 2 * size * size> terms{};
    std::size_t term = 0;
    for (std::size_t order = 0; order < 2 * size - 1; ++order) {  // the largest first
      for (std::size_t i = 0; i < size; ++i) {
        if (i > order || order - i >= size) continue;
        double const x = a.parts_[i];
        double const y = b.parts_[order - i];
        terms[term++] = x * y;
        terms[term++] = std::fma(x, y, -(x * y));
      }
    }
    return Expansion(terms);
  }
  friend Expansion operator/(Expansion const& a, Expansion const& b) {
    Expansion quotient;
    Expansion rest = a;
    for (std::size_t i = 0; i <= size; ++i) {
      Expansion const digit = rest.parts_[0] / b.parts_[0];
      quotient = quotient + digit;
      rest = rest - digit * b;
    }
    return quotient;
  }

  /// Of a positive number.
  friend Expansion sqrt(Expansion const& a) {
    Expansion root = std::sqrt(a.parts_[0]);
    for (int step = 0; step < 3; ++step)  // Newton's method doubles the digits
      root = root + (a - root * root) / (2.0 * root);
    return root;
  }

 private:
  static constexpr std::size_t size = 4;

  /// The sum of many terms. Each pass moves what there is to the front without any rounding error.
  template <std::size_t count>
  explicit Expansion(std::array<double, count> terms) : parts_{} {
    for (std::size_t pass = 0; pass < size + 2; ++pass) {
      for (std::size_t i = count - 1; i > 0; --i) {
        double const a = terms[i - 1];
        double const b = terms[i];
        double const sum = a + b;
        double const part = sum - a;
        terms[i] = (a - (sum - part)) + (b - part);
        terms[i - 1] = sum;
      }
    }
    std::size_t part = 0;
    for (double const term : terms)
      if (term != 0.0 && part < size) parts_[part++] = term;
  }

  std::array<double, size> parts_{};
};

}  // namespace torchml::descriptor
