#include "harmonics_table.hpp"

#include <cmath>
#include <numbers>

namespace torchml::descriptor {

std::vector<double> harmonics_table(int l_max) {
  std::vector<double> table;
  long double seed = 0.5L * std::sqrt(std::numbers::inv_pi_v<long double>);  // Y_00
  for (int column = 0; column <= l_max; ++column) {
    long double const m = column;
    if (column == 1) seed *= std::numbers::sqrt2_v<long double>;
    if (column > 0) seed *= std::sqrt((2 * m + 1) / (2 * m));
    table.push_back(static_cast<double>(seed));
    for (int row = column; row <= l_max; ++row) {
      long double const l = row;
      long double a = 0.0L;
      long double b = 0.0L;
      if (row > column) {
        a = std::sqrt((4 * l * l - 1) / (l * l - m * m));
        b = a * std::sqrt(((l - 1) * (l - 1) - m * m) / (4 * (l - 1) * (l - 1) - 1));
      }
      // The functions of m > 0 carry a factor sqrt(2) that the one of m = 0 has not.
      long double const slope = std::sqrt((l - m + 1) * (l + m) / (column == 1 ? 2 : 1));
      for (long double const number : {a, b, slope}) table.push_back(static_cast<double>(number));
    }
  }
  return table;
}

}  // namespace torchml::descriptor
