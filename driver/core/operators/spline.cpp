#include "operators/spline.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include "torchml/common/error.hpp"

namespace torchml::operators {

void check_spline(char const* name, torch::Tensor const& r, torch::Tensor const& table,
                  double cutoff) {
  auto const refuse = [&](std::string const& what) {
    throw Error(std::string("torchml::") + name + ": " + what);
  };
  if (r.dim() != 1 || r.scalar_type() != torch::kFloat64)
    refuse("the distances are not a vector of float64, expected [E]");
  auto const type = table.scalar_type();
  if (table.dim() != 2 || table.size(0) < 6 || table.size(1) < 1 ||
      (type != torch::kFloat32 && type != torch::kFloat64))
    refuse(
        "the table does not have the form [intervals + 5, K], expected a float tensor of that "
        "form");
  if (!(cutoff > 0.0)) refuse("the cutoff is not positive, expected a length in Å");
}

torch::Tensor spline(torch::Tensor const& r, torch::Tensor const& table, double cutoff) {
  check_spline("spline", r, table, cutoff);
  auto const distances = r.contiguous();
  auto const coefficients = table.contiguous();
  auto const edges = r.size(0);
  auto values = torch::empty({edges, table.size(1)}, table.options());
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "torchml::spline", [&] {
    auto const functions = spline_of<scalar_t>(coefficients, cutoff);
    auto const* const where = distances.const_data_ptr<double>();
    auto* const result = values.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, edges, kGrain, [&](std::int64_t begin, std::int64_t end) {
      spline_kernel<scalar_t>().values(functions, where, begin, end,
                                       result + begin * functions.width);
    });
  });
  return values;
}

torch::Tensor spline_backward(torch::Tensor const& gradient, torch::Tensor const& r,
                              torch::Tensor const& table, double cutoff) {
  check_spline("spline_backward", r, table, cutoff);
  auto const distances = r.contiguous();
  auto const coefficients = table.contiguous();
  auto const edges = r.size(0);
  if (gradient.dim() != 2 || gradient.size(0) != edges || gradient.size(1) != table.size(1) ||
      gradient.scalar_type() != table.scalar_type())
    throw Error("torchml::spline_backward: the gradient does not have the shape of the values");
  auto const cotangent = gradient.contiguous();
  auto slopes = torch::empty({edges}, r.options());
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "torchml::spline_backward", [&] {
    auto const functions = spline_of<scalar_t>(coefficients, cutoff);
    auto const* const where = distances.const_data_ptr<double>();
    auto const* const rows = cotangent.const_data_ptr<scalar_t>();
    auto* const result = slopes.mutable_data_ptr<double>();
    at::parallel_for(0, edges, kGrain, [&](std::int64_t begin, std::int64_t end) {
      spline_kernel<scalar_t>().slopes(functions, where, rows + begin * functions.width, begin, end,
                                       result + begin);
    });
  });
  return slopes;
}

SplineValues composite_spline(torch::Tensor const& r, torch::Tensor const& table, double cutoff,
                              bool slopes) {
  constexpr int degree = 5;
  auto const intervals = table.size(0) - degree;
  double const per_length = static_cast<double>(intervals) / cutoff;
  auto const inside = (r < cutoff).to(r.scalar_type());
  auto const place = r.clamp(0.0, cutoff) * per_length;
  auto const interval = place.floor().clamp_max(static_cast<double>(intervals - 1));
  auto const u = place - interval;
  auto const first = interval.to(torch::kInt64);

  // The pieces of the B-spline by the recursion of de Boor and Cox.
  std::vector<torch::Tensor> b = {inside};
  std::vector<torch::Tensor> lower;
  for (int k = 1; k <= degree; ++k) {
    lower = b;
    b.assign(k + 1, {});
    for (int j = 0; j <= k; ++j) {
      if (j > 0) b[j] = (u + (k - j)) * lower[j - 1] / k;
      if (j < k) {
        auto const right = ((j + 1) - u) * lower[j] / k;
        b[j] = b[j].defined() ? b[j] + right : right;
      }
    }
  }
  SplineValues result;
  for (int j = 0; j <= degree; ++j) {
    auto const row = table.index_select(0, first + j);
    auto const add = [&](torch::Tensor& sum, torch::Tensor const& weight) {
      auto const term = weight.to(table.scalar_type()).unsqueeze(1) * row;
      sum = sum.defined() ? sum + term : term;
    };
    add(result.values, b[j]);
    if (!slopes) continue;
    auto slope = j > 0 ? lower[j - 1] : -lower[0];
    if (j > 0 && j < degree) slope = slope - lower[j];
    add(result.slopes, per_length * slope);
  }
  return result;
}

}  // namespace torchml::operators
