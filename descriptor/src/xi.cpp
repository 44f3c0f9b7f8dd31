#include "torchml/descriptor/xi.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "harmonics_table.hpp"
#include "spherical_bessel.hpp"
#include "torchml/common/error.hpp"
#include "xi_invariants.hpp"

namespace torchml::descriptor {
namespace {

/// g_nl, n = 0..q - l, for l = 0..q: orthonormal combinations of spherical Bessel functions whose
/// values and first two derivatives vanish at the cutoff (Kocer et al.). With zeros
/// u_ln of j_l,
///   f_nl(r) = sqrt(2 / (rc^3 (u_ln^2 + u_l,n+1^2)))
///             [u_l,n+1 / j_{l+1}(u_ln) j_l(u_ln r/rc) - u_ln / j_{l+1}(u_l,n+1) j_l(u_l,n+1 r/rc)]
///   e_nl = u_l,n-1^2 u_l,n+1^2 / ((u_l,n-1^2 + u_ln^2) (u_ln^2 + u_l,n+1^2))
///   d_0l = 1,  d_nl = 1 - e_nl / d_n-1,l
///   g_0l = f_0l,  g_nl = (f_nl + sqrt(1 - d_nl) g_n-1,l) / sqrt(d_nl).
class RadialBasis {
 public:
  RadialBasis(int q, long double cutoff)
      : q_(q), cutoff_(cutoff), zeros_(spherical_bessel_zeros(q, 2)) {
    for (int l = 0; l <= q; ++l) {
      auto const& u = zeros_[static_cast<std::size_t>(l)];
      auto const next = static_cast<std::size_t>(l) + 1;
      long double before = 1.0L;
      for (std::size_t n = 0; n <= static_cast<std::size_t>(q - l); ++n) {
        long double const a = u[n];
        long double const b = u[n + 1];
        long double const squares = a * a + b * b;
        long double d = 1.0L;
        if (n > 0) {
          long double const c = u[n - 1] * u[n - 1];
          d = 1.0L - c * b * b / ((c + a * a) * squares) / before;
        }
        before = d;
        long double const norm = std::sqrt(2.0L / (cutoff * cutoff * cutoff * squares * d));
        steps_.push_back({norm * b / spherical_bessel(l + 1, a)[next],
                          norm * a / spherical_bessel(l + 1, b)[next], std::sqrt((1.0L - d) / d)});
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return steps_.size(); }

  void operator()(long double r, long double* g) const {
    auto step = steps_.begin();
    for (int l = 0; l <= q_; ++l) {
      auto const& u = zeros_[static_cast<std::size_t>(l)];
      auto const j = [&](std::size_t n) {
        return spherical_bessel(l, u[n] * r / cutoff_)[static_cast<std::size_t>(l)];
      };
      long double before = 0.0L;
      long double here = j(0);
      for (std::size_t n = 0; n <= static_cast<std::size_t>(q_ - l); ++n, ++step) {
        long double const next = j(n + 1);
        *g++ = before = step->own * here - step->next * next + step->before * before;
        here = next;
      }
    }
  }

 private:
  /// g_nl = own j_l(u_ln r/rc) - next j_l(u_l,n+1 r/rc) + before g_n-1,l
  struct Step {
    long double own;
    long double next;
    long double before;
  };

  int q_;
  long double cutoff_;
  std::vector<std::vector<long double>> zeros_;
  std::vector<Step> steps_;
};

class Xi final : public Descriptor {
 public:
  explicit Xi(XiParameters parameters)
      : cutoffs_(std::move(parameters.cutoffs)),
        q_(parameters.q),
        cutoff_(parameters.cutoff),
        radial_(radial_table(q_, cutoff_)),
        harmonics_(harmonics_table(q_)),
        invariants_(xi_invariants(q_)) {}

  [[nodiscard]] std::size_t width() const override { return invariants_.members.size(); }
  [[nodiscard]] SpeciesCutoffs const& cutoffs() const override { return cutoffs_; }

  void values(std::span<Environment const> centers, Scratch& scratch,
              double* values) const override {
    xi_kernel().values(tables(), centers.data(), centers.size(), scratch, values);
  }

  void gradient(std::span<Environment const> centers, Scratch& scratch, double const* cotangent,
                std::span<EnvironmentGradient const> gradients) const override {
    xi_kernel().gradient(tables(), centers.data(), centers.size(), scratch, cotangent,
                         gradients.data());
  }

 private:
  static RadialTable radial_table(int q, double cutoff) {
    RadialBasis const basis(q, cutoff);
    return {basis, basis.size(), cutoff};
  }

  [[nodiscard]] XiTables tables() const {
    return {q_,
            cutoff_,
            radial_.pieces(),
            harmonics_.data(),
            static_cast<std::size_t>(xi_coefficient(q_, 0, q_ + 1)),
            width(),
            invariants_.terms.data(),
            invariants_.rows.data(),
            invariants_.groups.data(),
            invariants_.groups.size(),
            invariants_.members.data()};
  }

  SpeciesCutoffs cutoffs_;
  int q_;
  double cutoff_;
  RadialTable radial_;
  std::vector<double> harmonics_;
  XiInvariants invariants_;
};

}  // namespace

std::unique_ptr<Descriptor const> make_descriptor(XiParameters parameters) {
  constexpr int highest = 15;
  if (parameters.q < 0 || parameters.q > highest)
    throw Error("Xi has q " + std::to_string(parameters.q) + ", expected 0 to " +
                std::to_string(highest));
  if (!(parameters.cutoff > 0.0) || !std::isfinite(parameters.cutoff))
    throw Error("Xi has the cutoff " + std::to_string(parameters.cutoff) +
                " Å, expected a positive number");
  if (parameters.cutoffs.species().empty()) throw Error("Xi has no species, expected at least one");
  return std::make_unique<Xi>(std::move(parameters));
}

}  // namespace torchml::descriptor
