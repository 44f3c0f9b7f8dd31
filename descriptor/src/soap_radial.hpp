// The radial part of SOAP: integrals over the Gaussian of a neighbour at distance r,
//   I_nl(r) = sum_q w_q R_q^2 g_n(R_q) exp(-eta (R_q^2 + r^2)) i_l(2 eta R_q r),
// with the modified spherical Bessel functions i_l of the first kind, nodes R_q = rc (x_q + 1)/2
// and weights w_q of the Gauss-Legendre rule of 100 points on [-1, 1] (a factor rc/2 is left out by
// convention), and the orthonormal functions
//   g_n(R) = sum_a (S^(-1/2))_na (rc - R)^(a+2),   a = 1..n_max,
//   S_ab = 2 rc^(7+a+b) / ((5+a+b)(6+a+b)(7+a+b)).
#pragma once

#include <cstddef>
#include <vector>

namespace torchml::descriptor {

class SoapRadialIntegrals {
 public:
  /// Accurate to double, as 60 digits are carried where functions are nearly linearly dependent.
  /// Throws Error where that would not do: not below n_max 17 for cutoffs of 0.3 to 12 Å.
  SoapRadialIntegrals(int n_max, int l_max, double cutoff, double eta);

  /// Writes values[l * n_max + n], n = 0..n_max-1.
  void operator()(long double r, long double* values) const;

 private:
  std::size_t n_max_;
  std::size_t l_max_;
  long double eta_;
  std::vector<long double> nodes_;    ///< R_q, Å
  std::vector<long double> weights_;  ///< [q, n] w_q R_q^2 g_n(R_q)
};

}  // namespace torchml::descriptor
